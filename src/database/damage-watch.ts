/** Called with each error by which SQLite reports a damaged file. */
export type OnDamage = (error: Error) => void

/** Records that the database file is damaged, until the process ends. Only a restored backup repairs the file. */
export class DamageWatch {
  readonly #onFirst: OnDamage
  #isDamaged = false

  /** Calls `onFirst` only once, because every later query may read the same damaged page. */
  constructor (onFirst: OnDamage) {
    this.#onFirst = onFirst
  }

  get isDamaged (): boolean {
    return this.#isDamaged
  }

  report (error: Error): void {
    if (this.#isDamaged) return
    this.#isDamaged = true
    this.#onFirst(error)
  }
}
