import type { Kysely } from 'kysely'
import { findFact, upsertFact } from './fact-store.js'
import type { Database } from './tables.js'

const FACT = 'clock.last_check'

/** The time of the last trusted check, and a clock that disagrees with it, both in epoch milliseconds. */
export interface CheckedClock {
  trusted: number
  /** From its first check `since` to its last one `seen`, this clock ran without a jump. */
  claim?: { since: number; seen: number }
}

/** Returns the result of the last check of a clock (src/maintenance/clock-check.ts). */
export async function findClock (db: Kysely<Database>): Promise<CheckedClock | undefined> {
  const value = await findFact(db, FACT)
  return value === undefined ? undefined : (JSON.parse(value) as CheckedClock)
}

export async function updateClock (db: Kysely<Database>, clock: CheckedClock): Promise<void> {
  await upsertFact(db, FACT, JSON.stringify(clock))
}
