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
import { fail, ok, type Finding } from './finding.js'

/** Checks that the database and the upload folder belong together. */
export async function pairing ({ config, db }: CommandContext): Promise<Finding> {
  if ((await pendingMigrations(db, migrations)).length > 0) return ok('pairing', 'known once the schema is there')
  if (!existsSync(config.uploadDir)) return ok('pairing', 'known once both are there')
  const pairing = await checkStorePairing(db, await openDiskStore(config.uploadDir))
  if (pairing === 'paired') return ok('pairing', 'database and uploads belong together')
  return pairing === 'unrelated'
    ? fail(
      'pairing',
      'this database and this UPLOAD_DIR do not belong together, so nothing is swept',
      'if DATABASE_URL was changed (SQLite to Postgres), copy the rows first (docs/postgres.md); check both ' +
          `settings; if they are right (one was restored), remove ${join(config.uploadDir, '.store-id')} and the row ` +
          'storage.id of server_facts'
    )
    : fail(
      'pairing',
      'the database is older than this UPLOAD_DIR (a restored backup?): files that came since have no row, so ' +
          'nothing is swept',
      'put back the newer database; or, to have orphaned files swept again, remove ' +
          join(config.uploadDir, '.store-age')
    )
}

/** Checks that each committed file has a row in the database. */
export async function files ({ config, db }: CommandContext): Promise<Finding> {
  if ((await pendingMigrations(db, migrations)).length > 0) return ok('files', 'known once the schema is there')
  if (!existsSync(config.uploadDir)) return ok('files', 'none yet')
  const store = await openDiskStore(config.uploadDir)
  if ((await checkStorePairing(db, store)) === 'unrelated') return ok('files', 'known once they belong to the database')
  const owned = (names: string[]) => listOwnedBlobs(db, names)
  const { kept } = await new Sweeper({ store, owned, clock: systemClock }).sweep({ dryRun: true })
  return kept.length === 0
    ? ok('files', 'each acknowledged file has its row')
    : fail(
      'files',
      lostRowsFault(kept.length),
      'put back the newer database; or look at the files (playgate sweep --dry-run), and remove them: playgate sweep ' +
          '--remove-acknowledged'
    )
}
