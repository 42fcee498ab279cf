import type { Kysely } from 'kysely'
import type { Config } from '../config/config.js'
import { poolStats } from '../database/open.js'
import type { Database } from '../database/tables.js'
import { oldestJobCreatedAt } from '../jobs/job-store.js'
import type { ConcurrencyLimiter } from '../limits/concurrency-limiter.js'
import type { Windows } from '../limits/windows.js'
import type { RedisLink } from '../redis/redis.js'
import { diskSpace } from '../storage/disk-space.js'
import { SECOND, type Clock } from '../time.js'
import type { Health } from './health.js'
import type { Gauges } from './metrics.js'

interface Options {
  db: Kysely<Database>
  config: Pick<Config, 'uploadDir'>
  clock: Clock
  health: Health
  writer: { readonly waiting: number }
  passwords: { pending(): number }
  prober: { pending(): number }
  uploadLimiter: ConcurrencyLimiter
  streamLimiter: ConcurrencyLimiter
  windows: Windows
  redis: RedisLink | undefined
}

/** The gauges of one server. */
export function createGauges ({
  db,
  config,
  clock,
  health,
  writer,
  passwords,
  prober,
  uploadLimiter,
  streamLimiter,
  windows,
  redis
}: Options): Gauges {
  const space = () => diskSpace(config.uploadDir).catch(() => ({ sizeBytes: NaN, freeBytes: NaN }))
  return {
    ...healthGauges(health),
    playgate_storage_free_bytes: {
      help: 'Free space of the file system of UPLOAD_DIR; NaN if it cannot be read',
      read: async () => (await space()).freeBytes,
      aggregator: 'min'
    },
    playgate_storage_size_bytes: {
      help: 'Size of the file system of UPLOAD_DIR; NaN if it cannot be read',
      read: async () => (await space()).sizeBytes,
      aggregator: 'min'
    },
    playgate_oldest_job_seconds: {
      help: 'Age of the oldest background job; 0 without a job, NaN if the database does not respond',
      read: () => oldestJobAge(db, clock).catch(() => NaN),
      aggregator: 'max'
    },
    playgate_database_connections: {
      help: 'Postgres connections of this process',
      read: () => poolStats(db).connections
    },
    playgate_database_waiting: { help: 'Queries waiting for a connection', read: () => poolStats(db).waiting },
    playgate_views_waiting: { help: 'Views not yet committed', read: () => writer.waiting },
    playgate_passwords_pending: { help: 'Password hashes waiting or running', read: () => passwords.pending() },
    playgate_probes_pending: { help: 'File probes waiting or running', read: () => prober.pending() },
    playgate_uploads: { help: 'Uploads being received', read: () => uploadLimiter.taken },
    playgate_streams: { help: 'Files being sent', read: () => streamLimiter.taken },
    playgate_limit_keys: {
      help: 'Clients and accounts held by the limits of this process',
      read: () => windows.size()
    },
    playgate_redis_up: {
      help: '1 if Redis is available, 0 if not, -1 without REDIS_URL',
      read: () => (redis === undefined ? -1 : Number(redis.up)),
      aggregator: 'min'
    }
  }
}

async function oldestJobAge (db: Kysely<Database>, clock: Clock): Promise<number> {
  const createdAt = await oldestJobCreatedAt(db)
  return createdAt === undefined ? 0 : Math.max(0, clock.now() - createdAt) / SECOND
}

function healthGauges (health: Health): Gauges {
  return {
    playgate_database_up: {
      help: '1 while the database responds and is not damaged',
      read: async () => Number((await health.check()).database === 'up'),
      aggregator: 'min'
    },
    playgate_storage_up: {
      help: '1 while files can be created',
      read: async () => Number((await health.check()).storage === 'up'),
      aggregator: 'min'
    }
  }
}
