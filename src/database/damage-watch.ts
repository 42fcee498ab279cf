/** Called with each error by which SQLite reports a damaged file. */
export type OnDamage = (error: Error) => void

/** Remembers that the database file is damaged, until the process ends: only a restored backup repairs it. */
export class DamageWatch {
  readonly #onFirst: OnDamage
  #isDamaged = false

  /** Calls `onFirst` once: every later query may meet the same page. */
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
