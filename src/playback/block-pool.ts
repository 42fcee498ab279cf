/** Buffers of one size, used again. */
export class BlockPool {
  readonly #bytes: number
  readonly #maxIdle: number
  readonly #maxTaken: number
  readonly #idle: Buffer[] = []
  #taken = 0

  /** `maxIdle` are kept for whoever comes next; `maxTaken` are out at a time. */
  constructor (bytes: number, { maxIdle, maxTaken = Infinity }: { maxIdle: number; maxTaken?: number }) {
    this.#bytes = bytes
    this.#maxIdle = maxIdle
    this.#maxTaken = maxTaken
  }

  /** Returns a buffer that nobody else uses until it is given back; undefined if all are in use. */
  take (): Buffer | undefined {
    if (this.#taken >= this.#maxTaken) return undefined
    this.#taken++
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
  }

  /** Takes one back. Nobody may hold any part of it then. */
  give (buffer: Buffer): void {
    this.#taken--
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer)
  }
}
