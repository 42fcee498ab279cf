import { close, fstat, open, read } from 'node:fs'
import { promisify } from 'node:util'

/**
 * An open file, with methods as in `FileHandle`. A reader closes the file once, and must not read it after that.
 * Several readers may use the same file at the same time.
 */
export interface ReadableFile {
  read(into: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
  stat(): Promise<{ size: number }>
  close(): Promise<void>
}

const [openAsync, closeAsync, statAsync] = [promisify(open), promisify(close), promisify(fstat)]

/** A seeking player sends its next request within this time. A deleted file uses disk space for at most this time. */
const LINGER_MS = 1000
const MAX_LINGERING = 256

let turn: Promise<void> | undefined

/**
 * Waits for the end of this turn of the event loop, so that reads go to the threads together. Waking an idle thread
 * costs more than reading 64 KiB. When reads arrive together, the first few wake all threads. With 64 connections, a
 * range took 80 instead of 100 µs of CPU.
 */
function endOfTurn (): Promise<void> {
  turn ??= new Promise((resolve) =>
    setImmediate(() => {
      turn = undefined
      resolve()
    })
  )
  return turn
}

interface Shared {
  descriptor: Promise<number>
  readers: number
  timer?: NodeJS.Timeout
}

/**
 * Opens files for reading. All readers of a file share one descriptor, which is closed a second after the last reader.
 * Opening and closing each need a thread, and cost more than a range of 64 KiB. The content of a path must never
 * change. With `fs.read` instead of a `FileHandle`, a range of 64 KiB took 63 instead of 69 µs of CPU.
 */
export class OpenFiles {
  readonly #files = new Map<string, Shared>()
  #lingering = 0

  /** **Throws** the errors of `open`. */
  async open (path: string): Promise<ReadableFile> {
    const file = this.#files.get(path) ?? this.#opened(path)
    if (file.timer !== undefined) this.#keep(file)
    file.readers++
    let descriptor: number
    try {
      descriptor = await file.descriptor
    } catch (error) {
      this.#forget(path, file)
      throw error
    }
    let closed = false
    return {
      read: async (into, offset, length, position) => {
        await endOfTurn()
        return await new Promise((resolve, reject) => {
          read(descriptor, into, offset, length, position, (error, bytesRead) =>
            error === null ? resolve({ bytesRead }) : reject(error)
          )
        })
      },
      stat: () => statAsync(descriptor),
      close: async () => {
        if (closed) return
        closed = true
        if (--file.readers > 0) return
        if (this.#lingering >= MAX_LINGERING) return await this.#end(path, file)
        this.#lingering++
        file.timer = setTimeout(() => {
          this.#keep(file)
          void this.#end(path, file)
        }, LINGER_MS)
        file.timer.unref()
      }
    }
  }

  /** Closes the files that have no reader. */
  async close (): Promise<void> {
    await Promise.all(
      [...this.#files]
        .filter(([, { timer }]) => timer !== undefined)
        .map(async ([path, file]) => {
          this.#keep(file)
          await this.#end(path, file)
        })
    )
  }

  #opened (path: string): Shared {
    const file: Shared = { descriptor: openAsync(path, 'r'), readers: 0 }
    this.#files.set(path, file)
    return file
  }

  #keep (file: Shared): void {
    clearTimeout(file.timer)
    file.timer = undefined
    this.#lingering--
  }

  #forget (path: string, file: Shared): void {
    if (this.#files.get(path) === file) this.#files.delete(path)
  }

  async #end (path: string, file: Shared): Promise<void> {
    this.#forget(path, file)
    await closeAsync(await file.descriptor)
  }
}
