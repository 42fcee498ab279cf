/** A pool of reused buffers of one size. */
export class BlockPool {
  readonly #bytes: number
  readonly #maxIdle: number
  readonly #maxTaken: number
  readonly #idle: Buffer[] = []
  #taken = 0

  /** Keeps at most `maxIdle` unused buffers. At most `maxTaken` buffers are in use at a time. */
  constructor (bytes: number, { maxIdle, maxTaken = Infinity }: { maxIdle: number; maxTaken?: number }) {
    this.#bytes = bytes
    this.#maxIdle = maxIdle
    this.#maxTaken = maxTaken
  }

  /** Returns a buffer for exclusive use until `give`. Undefined if all buffers are in use. */
  take (): Buffer | undefined {
    if (this.#taken >= this.#maxTaken) return undefined
    this.#taken++
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
  }

  /** Returns a buffer to the pool. The caller must no longer use any part of the buffer. */
  give (buffer: Buffer): void {
    this.#taken--
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer)
  }
}
