import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { migrations } from '../../migrations/index.js'
import { pendingMigrations } from '../database/migrate.js'
import { listOwnedBlobs } from '../media/media-store.js'
import { checkStorePairing, lostRowsFault } from '../media/store-pairing.js'
import { openDiskStore } from '../storage/disk-store.js'
import { Sweeper } from '../storage/sweep.js'
import { systemClock } from '../time.js'
import type { CommandContext } from './command.js'
import { NOT_MIGRATED, fail, ok, type Finding } from './finding.js'

/** Checks that the database and the upload folder belong together. */
export async function pairing ({ config, db }: CommandContext): Promise<Finding> {
  if ((await pendingMigrations(db, migrations)).length > 0) return ok('pairing', NOT_MIGRATED)
  if (!existsSync(config.uploadDir)) return ok('pairing', 'not checked: there is no upload folder yet')
  const pairing = await checkStorePairing(db, await openDiskStore(config.uploadDir))
  if (pairing === 'paired') return ok('pairing', 'database and uploads belong together')
  return pairing === 'unrelated'
    ? fail(
      'pairing',
      'sweep disabled: this database and this UPLOAD_DIR do not belong together',
      'check DATABASE_URL and UPLOAD_DIR; after a move from SQLite to Postgres, copy the rows first ' +
          `(docs/postgres.md); after a restore of one of both, remove ${join(config.uploadDir, '.store-id')} and the ` +
          'row storage.id of server_facts'
    )
    : fail(
      'pairing',
      'sweep disabled: the database is older than this UPLOAD_DIR, as after a restored backup, so newer files have ' +
          'no row',
      'restore the newer database; or, to sweep orphaned files again, remove ' +
          join(config.uploadDir, '.store-age')
    )
}

/** Checks that each committed file has a row in the database. */
export async function files ({ config, db }: CommandContext): Promise<Finding> {
  if ((await pendingMigrations(db, migrations)).length > 0) return ok('files', NOT_MIGRATED)
  if (!existsSync(config.uploadDir)) return ok('files', 'no files yet')
  const store = await openDiskStore(config.uploadDir)
  if ((await checkStorePairing(db, store)) === 'unrelated') return ok('files', 'not checked: see pairing')
  const owned = (names: string[]) => listOwnedBlobs(db, names)
  const { kept } = await new Sweeper({ store, owned, clock: systemClock }).sweep({ dryRun: true })
  return kept.length === 0
    ? ok('files', 'every acknowledged file has a row')
    : fail(
      'files',
      lostRowsFault(kept.length),
      'restore the newer database; or list the files with playgate sweep --dry-run, and remove them with ' +
          'playgate sweep --remove-acknowledged'
    )
}
