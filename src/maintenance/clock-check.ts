import type { Kysely } from 'kysely'
import { findNewestSession } from '../accounts/session-store.js'
import { findClock, updateClock, type CheckedClock } from '../database/clock-store.js'
import type { Database } from '../database/tables.js'
import { DAY, type Clock } from '../time.js'

interface Options {
  db: Kysely<Database>
  clock: Clock
  log: Record<'info' | 'warn', (about: object, text: string) => void>
}

/**
 * Decides whether the wall clock is trusted to remove what is old. It is trusted unless it is more than a day behind
 * the last trusted check, which the database keeps, or more than a day ahead of it and the monotonic time since then. A
 * clock that jumps in a running process is not trusted again until it is back, or until a restart. A clock that is off
 * from the start is trusted once it has run for a day without a jump, restarts included: an installation may have stood
 * still for months. The age of rows decides nothing: rows written by a wrong clock are as wrong as the clock.
 */
export class ClockCheck {
  readonly #options: Options
  /** On the monotonic clock; both begin with the process. */
  #trustedAt: number
  #checkedAt: number
  #wasTrusted = false
  #isTrusted: boolean | undefined

  constructor (options: Options) {
    this.#options = options
    this.#trustedAt = this.#checkedAt = options.clock.monotonicNow()
  }

  /**
   * Resolves with the time in milliseconds since 1970, or with undefined if the clock is not trusted. Removals use this
   * time: the clock may have jumped since.
   */
  async check (): Promise<number | undefined> {
    const { db, clock } = this.#options
    const [wall, monotonic] = [clock.now(), clock.monotonicNow()]
    // Without a lock: what another process writes in between is as good, and the next check reads it.
    const stored = (await findClock(db)) ?? { trusted: (await findNewestSession(db)) ?? wall }
    const ahead = wall - stored.trusted
    const isNear = ahead >= -DAY && ahead <= monotonic - this.#trustedAt + DAY
    const next = isNear ? { trusted: wall } : this.#weighClaim(stored, wall, monotonic)
    const isTrusted = next.trusted === wall
    await updateClock(db, next)
    this.#checkedAt = monotonic
    if (isTrusted) this.#trustedAt = monotonic
    this.#report(isTrusted)
    this.#isTrusted = isTrusted
    this.#wasTrusted ||= isTrusted
    return isTrusted ? wall : undefined
  }

  /** A check of another process that trusts its clock ends the claim of this one. */
  #weighClaim (stored: CheckedClock, wall: number, monotonic: number): CheckedClock {
    if (this.#wasTrusted) return stored
    const { trusted, claim } = stored
    const runsOn = claim !== undefined && Math.abs(wall - claim.seen - (monotonic - this.#checkedAt)) <= DAY
    const since = runsOn ? claim.since : wall
    return wall - since >= DAY ? { trusted: wall } : { trusted, claim: { since, seen: wall } }
  }

  #report (isTrusted: boolean): void {
    if (isTrusted === this.#isTrusted) return
    const { log } = this.#options
    if (!isTrusted) {
      log.warn(
        {},
        this.#wasTrusted
          ? 'nothing is removed by its age: the clock jumped by more than a day; if it is right now, restart the server'
          : 'nothing is removed by its age for a day: the clock is more than a day off the last one; check it'
      )
    } else if (this.#isTrusted === false) log.info({}, 'what is old is removed again: the clock is trusted')
  }
}
