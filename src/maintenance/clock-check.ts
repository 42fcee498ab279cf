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
 * Decides whether the wall clock is trusted for removals by age. The database keeps the time of the last trusted check.
 * The clock is trusted if it is at most a day behind that check. It may also be at most a day ahead of that check plus
 * the monotonic time since then. After a jump in a running process, the clock is trusted again when it is right again,
 * or after a restart. If the clock is wrong from the start, it is trusted after a day without a jump, even across
 * restarts. An installation may have been off for months. The age of rows is not used, because a wrong clock also
 * writes wrong rows.
 */
export class ClockCheck {
  readonly #options: Options
  /** Monotonic times of the last trusted check and of the last check. Both start with the process. */
  #trustedAt: number
  #checkedAt: number
  #wasTrusted = false
  #isTrusted: boolean | undefined

  constructor (options: Options) {
    this.#options = options
    this.#trustedAt = this.#checkedAt = options.clock.monotonicNow()
  }

  /**
   * Resolves with the time in milliseconds since 1970, or with undefined if the clock is not trusted. Removals must use
   * this time, because the clock may jump after the check.
   */
  async check (): Promise<number | undefined> {
    const { db, clock } = this.#options
    const [wall, monotonic] = [clock.now(), clock.monotonicNow()]
    // No lock is needed. A parallel check of another process is just as valid, and the next check reads its result.
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

  /**
   * Returns the next stored state of a clock that is not trusted. A trusted check of another process ends the claim of
   * this process.
   */
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
          ? 'removal by age paused: the clock jumped by more than a day; if it is correct now, restart the server'
          : 'removal by age paused for a day: the clock differs by more than a day from the last start; check the clock'
      )
    } else if (this.#isTrusted === false) log.info({}, 'removal by age resumed: the clock is trusted')
  }
}
