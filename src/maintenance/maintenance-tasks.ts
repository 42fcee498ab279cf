import type { Kysely } from 'kysely'
import type { Sessions } from '../accounts/sessions.js'
import type { Lectures } from '../courses/lectures.js'
import type { Database } from '../database/tables.js'
import type { Chore } from '../jobs/scheduler.js'
import { bindingFault, recordLook } from '../media/store-pairing.js'
import { resealContentKeys } from '../protection/content-keys.js'
import type { Keyring } from '../secrets/keyring.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Sweeper } from '../storage/sweep.js'
import type { Clock } from '../time.js'
import { ClockCheck } from './clock-check.js'
import { pruneTokenViews, pruneViews } from '../views/view-maintenance.js'

interface Options {
  db: Kysely<Database>
  blobs: BlobStore
  sweeper: Sweeper
  /** No other process uses the files: one look at them is enough. */
  alone: boolean
  keys: Keyring
  lectures: Lectures
  sessions: Sessions
  /** 0: the log of views is kept. */
  viewRetentionDays: number
  forgetOldEvents: () => Promise<unknown>
  now: Clock
  monotonicNow: Clock
  log: Record<'info' | 'warn' | 'error', (about: object, text: string) => void>
}

/** What a server does by itself: once it listens, and now and then. */
export function choresOf ({
  db,
  blobs,
  sweeper,
  alone,
  keys,
  lectures,
  sessions,
  viewRetentionDays,
  forgetOldEvents,
  now,
  monotonicNow,
  log
}: Options): { atStart: Chore[]; nowAndThen: Chore[] } {
  const sweep = (alone: boolean): Chore => ({
    complaint: 'the sweep failed',
    async run () {
      const binding = await recordLook(db, blobs)
      if (binding !== 'bound') return log.error({}, bindingFault(binding))
      const removed = await sweeper.sweep({ alone })
      if (removed.length > 0) log.info({ removed: removed.length }, 'swept what a crash had left')
    }
  })
  const reseal: Chore = {
    complaint: 'content keys could not be sealed by the new SECRET_KEY',
    async run () {
      const { resealed, lost } = await resealContentKeys(db, keys)
      if (resealed > 0) log.info({ resealed }, 'content keys are sealed by the new SECRET_KEY')
      if (lost > 0) {
        log.error(
          { lost },
          'content keys were sealed with a SECRET_KEY that is not known any more: their media cannot be played. Put it into SECRET_KEYS_PREVIOUS'
        )
      }
    }
  }
  const protect: Chore = {
    complaint: 'lectures that are to be protected could not be looked for',
    async run () {
      const missed = await lectures.protectMissed()
      if (missed > 0) log.info({ missed }, 'lectures are protected now, as their courses want it')
    }
  }
  const clock = new ClockCheck({ db, now, monotonicNow, log })
  const byAge = (complaint: string, run: Chore['run']): Chore => ({
    complaint,
    run: async (signal) => (await clock.check()) && (await run(signal))
  })
  const prune = byAge('old views could not be pruned', (signal) =>
    pruneViews(db, viewRetentionDays, now(), undefined, signal)
  )
  const pruneTokens = byAge('ended views by tokens could not be removed', (signal) =>
    pruneTokenViews(db, now(), signal)
  )
  const endSessions = byAge('ended sessions could not be removed', () => sessions.sweep())
  const forgetEvents = byAge('old events of Mux are still there', forgetOldEvents)
  return {
    // The events first: the clock is checked before this process writes rows by it.
    atStart: [forgetEvents, sweep(alone), reseal, protect],
    nowAndThen: [
      forgetEvents,
      sweep(false),
      ...(viewRetentionDays > 0 ? [prune] : []),
      pruneTokens,
      endSessions,
      protect
    ]
  }
}
