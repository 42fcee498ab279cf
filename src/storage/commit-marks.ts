import type { Stats } from 'node:fs'
import { chmod, stat } from 'node:fs/promises'
import { join } from 'node:path'

const WRITE_BITS = 0o222
const OWNER_WRITES = 0o200

/** Returns whether a file has the mark: it has no write permission. */
export const isMarked = ({ mode }: Pick<Stats, 'mode'>): boolean => (mode & WRITE_BITS) === 0

/**
 * Marks the committed files of a folder by removing their write bits (docs/decisions/0011-committed-files.md). Read
 * bits do not change, because nginx may read the files as another user. A missing file is ignored.
 */
export class CommitMarks {
  readonly #folder: string
  readonly #onFault: (error: unknown) => void
  #hasFailed = false

  /** `onFault` receives the first failure to change a mark. */
  constructor (folder: string, onFault: (error: unknown) => void) {
    this.#folder = folder
    this.#onFault = onFault
  }

  async mark (name: string): Promise<void> {
    await this.#change(name, (mode) => mode & ~WRITE_BITS)
  }

  async unmark (name: string): Promise<void> {
    await this.#change(name, (mode) => mode | OWNER_WRITES)
  }

  async #change (name: string, change: (mode: number) => number): Promise<void> {
    const path = join(this.#folder, name)
    try {
      const { mode } = await stat(path)
      const changed = change(mode)
      if (changed === mode) return
      await chmod(path, changed & 0o7777)
      // Some network file systems accept the change and ignore it.
      if ((await stat(path)).mode !== changed) throw new Error(`the file system does not keep the mode of ${path}`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || this.#hasFailed) return
      this.#hasFailed = true
      this.#onFault(error)
    }
  }
}
