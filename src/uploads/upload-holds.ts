import type { Kysely } from 'kysely'
import { setTimeout as sleep } from 'node:timers/promises'
import { v7 as uuidv7 } from 'uuid'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { SECOND, type Clock } from '../time.js'
import {
  beatUploads,
  listHoldStates,
  releaseUpload,
  replaceHolder,
  takeUpload,
  unwantUpload,
  wantUpload,
  type HoldState
} from './hold-store.js'
import type { Upload } from './schema.js'

/** How often a holder looks for a newer request, and a newer request for the end of the holder. */
const POLL_EVERY_MS = 200
const BEAT_EVERY_MS = SECOND
/** A holder must look again before it writes, if its last look is older than this. */
const VALID_MS = 2 * SECOND
/** A holder that shows no sign of life for this long is dead. It is longer than {@link VALID_MS}. */
const DEAD_AFTER_MS = 3 * SECOND
/** How long a newer request waits for a holder that lives, for example while it probes the file. */
const WAIT_MS = 30 * SECOND

interface Taken {
  upload: Upload
  /** A monotonic time before the request became the holder. */
  takenAt: number
}

interface Options {
  db: Kysely<Database>
  clock: Clock
}

/** The right of one request to write an upload, across all processes. */
export interface Hold {
  readonly id: string
  readonly holder: string
  /** Aborts when the request must end: a newer request wants the upload, or this process stops. */
  readonly ended: AbortSignal
  /** From now on the holder does not end for a newer request, and shows that it lives. */
  persist(): void
  /** **Throws** `upload_locked` if another request became the holder. Call it before each write. */
  confirm(): Promise<void>
  /** Ends the right. Never throws. */
  release(): Promise<void>
}

/**
 * Gives the right to write an upload to one request at a time, across all processes, without a lock that outlives a
 * crash. A newer request ends an older one, because a client that starts a new request has lost the older one. The rows
 * show holders, and no clocks of different machines are compared (docs/decisions/0014-resumable-uploads.md).
 */
export class UploadHolds {
  readonly #options: Options
  readonly #held = new Map<string, HeldUpload>()
  #timer: NodeJS.Timeout | undefined
  #beatAt = 0
  #isStopping = false

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Makes a new request the holder of an upload, and ends the current one. **Throws** `not_found`, `shutting_down`, and
   * `upload_locked` if a still newer request wants the upload, or if the holder persists.
   */
  async acquire (id: string): Promise<{ hold: Hold; upload: Upload }> {
    if (this.#isStopping) throw new ApiError('shutting_down')
    const holder = uuidv7()
    const { upload, takenAt } = (await this.#take(id, holder)) ?? (await this.#waitFor(id, holder))
    const hold = new HeldUpload({ id, holder, seenAt: takenAt }, this.#options, () => this.#drop(holder))
    this.#held.set(holder, hold)
    this.#arm()
    if (this.#isStopping) hold.end()
    return { hold, upload }
  }

  /** Ends all requests of this process that receive bytes. Further requests are refused. */
  stop (): void {
    this.#isStopping = true
    for (const hold of this.#held.values()) hold.end()
  }

  async #take (id: string, holder: string, dead?: HoldState): Promise<Taken | undefined> {
    const { db, clock } = this.#options
    const takenAt = clock.monotonicNow()
    const upload = await (dead === undefined ? takeUpload(db, id, holder) : replaceHolder(db, dead, holder))
    return upload && { upload, takenAt }
  }

  async #waitFor (id: string, holder: string): Promise<Taken> {
    const { db, clock } = this.#options
    await wantUpload(db, id, holder)
    for (const hold of this.#held.values()) if (hold.id === id) hold.end()
    const start = clock.monotonicNow()
    let seen: HoldState | undefined
    let seenAt = start
    for (;;) {
      const taken = await this.#take(id, holder)
      if (taken !== undefined) return taken
      const [state] = await listHoldStates(db, [id])
      const now = clock.monotonicNow()
      if (state === undefined) throw new ApiError('not_found')
      if (state.wantedBy !== holder) throw locked()
      if (seen === undefined || seen.holder !== state.holder || seen.beat !== state.beat) {
        seen = state
        seenAt = now
      } else if (now - seenAt >= DEAD_AFTER_MS) {
        const replaced = await this.#take(id, holder, seen)
        if (replaced !== undefined) return replaced
      }
      if (now - start >= WAIT_MS) {
        await unwantUpload(db, id, holder)
        throw locked()
      }
      await sleep(POLL_EVERY_MS)
    }
  }

  #drop (holder: string): void {
    this.#held.delete(holder)
    if (this.#held.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm (): void {
    this.#timer ??= setTimeout(() => {
      // A failed look does no harm: a holder looks again itself before it writes.
      void this.#look()
        .catch(() => {})
        .finally(() => {
          this.#timer = undefined
          if (this.#held.size > 0) this.#arm()
        })
    }, POLL_EVERY_MS).unref()
  }

  async #look (): Promise<void> {
    const { db, clock } = this.#options
    const now = clock.monotonicNow()
    const held = [...this.#held.values()]
    const states = await listHoldStates(db, held.map(({ id }) => id))
    const byHolder = new Map(states.map((state) => [state.holder, state]))
    for (const hold of held) hold.see(byHolder.get(hold.holder), now)
    if (now - this.#beatAt < BEAT_EVERY_MS) return
    this.#beatAt = now
    const busy = held.filter((hold) => hold.isBusy)
    await beatUploads(db, busy.map(({ id }) => id), busy.map(({ holder }) => holder))
  }
}

class HeldUpload implements Hold {
  readonly id: string
  readonly holder: string
  readonly #options: Options
  readonly #onRelease: () => void
  readonly #ending = new AbortController()
  #persists = false
  #isLost = false
  #seenAt: number

  constructor (
    { id, holder, seenAt }: { id: string; holder: string; seenAt: number },
    options: Options,
    onRelease: () => void
  ) {
    this.id = id
    this.holder = holder
    this.#seenAt = seenAt
    this.#options = options
    this.#onRelease = onRelease
  }

  get ended (): AbortSignal {
    return this.#ending.signal
  }

  /** Whether the request works on, although a newer one may be waiting. */
  get isBusy (): boolean {
    return this.#persists || this.ended.aborted
  }

  persist (): void {
    this.#persists = true
  }

  end (): void {
    this.#ending.abort()
  }

  /** Takes notice of the row, as it was at the monotonic time `at` or later. Undefined: another request holds it. */
  see (state: HoldState | undefined, at: number): void {
    if (state === undefined) this.#isLost = true
    else this.#seenAt = at
    if (this.#isLost || (state?.wantedBy ?? null) !== null) this.end()
  }

  async confirm (): Promise<void> {
    const { db, clock } = this.#options
    const now = clock.monotonicNow()
    if (!this.#isLost && now - this.#seenAt >= VALID_MS) {
      const [state] = await listHoldStates(db, [this.id])
      this.see(state?.holder === this.holder ? state : undefined, now)
    }
    if (this.#isLost) throw locked()
  }

  async release (): Promise<void> {
    this.#onRelease()
    // If the database is down, the next request sees no sign of life, and replaces the holder.
    if (!this.#isLost) await releaseUpload(this.#options.db, this.id, this.holder).catch(() => {})
  }
}

function locked (): ApiError {
  return new ApiError('upload_locked', { headers: { 'retry-after': '1' } })
}
