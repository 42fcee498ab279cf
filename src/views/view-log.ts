import type { Kysely } from 'kysely'
import { createSharedCache } from '../cache/redis-cache.js'
import { createLocalCache } from '../cache/shared-cache.js'
import type { Config } from '../config/config.js'
import type { DamageWatch } from '../database/damage-watch.js'
import type { Database } from '../database/tables.js'
import type { Metrics } from '../monitoring/metrics.js'
import type { RedisLink } from '../redis/redis.js'
import type { Secrets } from '../secrets/keyring.js'
import type { Clock } from '../time.js'
import { createSqliteCommit, type SqliteCommit } from './sqlite-commit.js'
import { insertViews } from './view-store.js'
import { ViewWriter } from './view-writer.js'
import { openViewerIds } from './viewer-id-store.js'
import { Views, type ViewLimit } from './views.js'

interface Options {
  config: Pick<Config, 'analyticsCacheSeconds' | 'database' | 'viewAddresses'>
  db: Kysely<Database>
  damage: DamageWatch
  secrets: Secrets
  redis: RedisLink | undefined
  limit: ViewLimit
  metrics: Metrics
  clock: Clock
  log: Record<'info', (about: object, text: string) => void>
  /** How long a stream waits for its view to be committed, in milliseconds. */
  streamWaitMs: number | undefined
  /** SQLite commits in a thread. False: in the event loop. */
  inThread: boolean
}

export interface ViewLog {
  views: Views
  writer: ViewWriter
  /** The commit thread of SQLite. */
  sqliteCommit: SqliteCommit | undefined
}

/** Opens the view log, its writer and the analytics. **Throws** `StartupError` for a wrong `SECRET_KEY`. */
export async function openViewLog (options: Options): Promise<ViewLog> {
  const { config, db, damage, clock, log, redis, secrets } = options
  const sqliteCommit =
    config.database.engine === 'sqlite' && options.inThread
      ? createSqliteCommit(config.database.path, (error) => damage.report(error))
      : undefined
  const writer = createWriter(options, sqliteCommit)
  const viewerIds = await openViewerIds({
    db,
    mode: config.viewAddresses,
    keys: () => secrets.keyring('viewer-address'),
    onProgress: (done, total) => log.info({ done, total }, 'rewriting the addresses of the view log')
  })
  const localCache = createLocalCache()
  const views = new Views({
    db,
    writer,
    viewerIds,
    cache: redis === undefined ? localCache : createSharedCache(redis, localCache),
    cacheSeconds: config.analyticsCacheSeconds,
    clock,
    limit: options.limit,
    streamWaitMs: options.streamWaitMs
  })
  return { sqliteCommit, writer, views }
}

function createWriter ({ db, metrics }: Options, sqliteCommit: SqliteCommit | undefined): ViewWriter {
  return new ViewWriter(sqliteCommit?.commit ?? ((batch) => insertViews(db, batch)), (outcomes) => {
    metrics.batchViews.observe(outcomes.length)
    for (const outcome of outcomes) metrics.views.inc({ outcome })
  })
}
