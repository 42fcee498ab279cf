import type { Kysely } from 'kysely'
import { poolStats } from '../database/open.js'
import type { Database } from '../database/tables.js'
import type { ConcurrencyLimiter } from '../limits/concurrency-limiter.js'
import type { Windows } from '../limits/windows.js'
import type { RedisLink } from '../redis/redis.js'
import type { Gauges } from './metrics.js'

interface Options {
  db: Kysely<Database>
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
  writer,
  passwords,
  prober,
  uploadLimiter,
  streamLimiter,
  windows,
  redis
}: Options): Gauges {
  return {
    playgate_database_connections: {
      help: 'Postgres connections of this process',
      read: () => poolStats(db).connections
    },
    playgate_database_waiting: { help: 'Queries that wait for a connection', read: () => poolStats(db).waiting },
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
      help: '1 while Redis is available, 0 while it is not, -1 without one',
      read: () => (redis === undefined ? -1 : Number(redis.up)),
      aggregator: 'min'
    }
  }
}
