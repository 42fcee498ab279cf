import type { Kysely } from 'kysely'
import type { PasswordResets } from '../accounts/password-resets.js'
import type { Sessions } from '../accounts/sessions.js'
import type { Config } from '../config/config.js'
import type { Lectures } from '../courses/lectures.js'
import type { DamageWatch } from '../database/damage-watch.js'
import type { Database } from '../database/tables.js'
import { databaseDamaged } from '../errors.js'
import type { UploadGrants } from '../grants/upload-grants.js'
import type { Idempotency } from '../idempotency/idempotency.js'
import type { Task } from '../jobs/scheduler.js'
import { queueDescriptions } from '../media/description-runner.js'
import { listOwnedBlobs } from '../media/media-store.js'
import { lostRowsFault, pairingFault, recordSweep } from '../media/store-pairing.js'
import { resealContentKeys } from '../protection/content-keys.js'
import type { Secrets } from '../secrets/keyring.js'
import type { BlobStore } from '../storage/blob-store.js'
import { Sweeper } from '../storage/sweep.js'
import type { Clock } from '../time.js'
import type { ResumableUploads } from '../uploads/resumable-uploads.js'
import { pruneTokenViews, pruneViews } from '../views/view-maintenance.js'
import { ClockCheck } from './clock-check.js'

interface Options {
  config: Pick<Config, 'viewRetentionDays'>
  db: Kysely<Database>
  damage: DamageWatch
  blobs: BlobStore
  secrets: Secrets
  /** No other process uses the files, so one scan is enough. */
  isOnlyInstance: boolean
  lectures: Lectures
  sessions: Sessions
  passwordResets: PasswordResets
  idempotency: Idempotency
  resumable: ResumableUploads
  grants: UploadGrants
  providers: { mux: { events: { forgetOld(now: number): Promise<unknown> } } | undefined }
  clock: Clock
  log: Record<'info' | 'warn' | 'error', (about: object, text: string) => void>
}

/** The maintenance of a server: tasks that run once it listens, and tasks that run periodically. */
export function createMaintenanceTasks (options: Options): { startup: Task[]; periodic: Task[] } {
  const { config, db, sessions, passwordResets, idempotency, grants, resumable, providers } = options
  const sweep = createSweep(options)
  const clock = new ClockCheck(options)
  const byAge = (
    failureMessage: string,
    remove: (now: number, signal: AbortSignal) => Promise<unknown> | undefined
  ): Task => ({
    failureMessage,
    async run (signal) {
      const now = await clock.check()
      if (now !== undefined) await remove(now, signal)
    }
  })
  const removals = [
    byAge('failed to remove expired views by token', (now, signal) => pruneTokenViews(db, now, signal)),
    byAge('failed to remove expired sessions', (now) => sessions.sweep(now)),
    byAge('failed to remove expired reset links', (now) => passwordResets.sweep(now)),
    byAge('failed to remove old upload grants', (now) => grants.prune(now)),
    byAge('failed to remove old idempotency keys', (now, signal) => idempotency.prune(now, signal)),
    byAge('failed to remove expired uploads', (now, signal) => resumable.removeExpired(now, signal))
  ]
  if (config.viewRetentionDays > 0) {
    const prune = (now: number, signal: AbortSignal) => pruneViews(db, config.viewRetentionDays, now, undefined, signal)
    removals.unshift(byAge('failed to prune old views', prune))
  }
  const removeMuxEvents = byAge('failed to remove old Mux events', (now) => providers.mux?.events.forgetOld(now))
  const finishUploads = byAge('failed to finish uploads', (now, signal) => resumable.finishAll(now, signal))
  const protect = protectMissedLectures(options)
  const describe = {
    failureMessage: 'failed to queue the description of files',
    run: () => queueDescriptions(db, options.clock)
  }
  return {
    // The task for Mux events is first. It checks the clock before this process writes rows with the clock's time.
    startup: [removeMuxEvents, sweep(options.isOnlyInstance), resealKeys(options), protect, describe, finishUploads],
    periodic: [removeMuxEvents, ...removals, sweep(false), protect, describe, finishUploads]
  }
}

function createSweep ({ db, damage, blobs, clock, log }: Options): (isOnlyInstance: boolean) => Task {
  const sweeper = new Sweeper({
    store: blobs,
    async owned (names) {
      // A damaged index hides rows, so their files would look orphaned.
      if (damage.isDamaged) throw databaseDamaged()
      return await listOwnedBlobs(db, names)
    },
    clock
  })
  let lastKept = 0
  return (isOnlyInstance) => ({
    failureMessage: 'failed to sweep orphaned files',
    async run () {
      const pairing = await recordSweep(db, blobs)
      if (pairing !== 'paired') return log.error({}, pairingFault(pairing))
      const { removed, kept } = await sweeper.sweep({ isOnlyInstance })
      if (removed.length > 0) log.info({ removed: removed.length }, 'removed orphaned files')
      if (kept.length > 0 && kept.length !== lastKept) {
        log.error({ files: kept.length }, `${lostRowsFault(kept.length)}; run "playgate doctor"`)
      }
      lastKept = kept.length
    }
  })
}

function resealKeys ({ db, secrets, log }: Options): Task {
  return {
    failureMessage: 'failed to encrypt content keys with the new SECRET_KEY',
    async run () {
      const { resealed, lost } = await resealContentKeys(db, secrets.keyring('media'))
      if (resealed > 0) log.info({ resealed }, 'encrypted content keys with the new SECRET_KEY')
      if (lost > 0) {
        log.error(
          { lost },
          'failed to open content keys, so their media cannot be played: another SECRET_KEY encrypted them; add it ' +
            'to SECRET_KEYS_PREVIOUS'
        )
      }
    }
  }
}

function protectMissedLectures ({ lectures, log }: Options): Task {
  return {
    failureMessage: 'failed to find unprotected lectures',
    async run () {
      const missed = await lectures.protectMissed()
      if (missed > 0) log.info({ missed }, 'queued the protection of lectures that were not protected')
    }
  }
}
