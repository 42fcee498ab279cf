import { sql, type Kysely } from 'kysely'
import type { DamageWatch } from '../database/damage-watch.js'
import type { Database } from '../database/tables.js'
import type { RedisLink } from '../redis/redis.js'
import type { BlobStore } from '../storage/blob-store.js'

export type PartState = 'up' | 'down' | 'off'
export interface HealthState {
  status: 'ok' | 'degraded' | 'down'
  database: PartState
  redis: PartState
  storage: PartState
}

/** Longer than a healthy part needs to respond. */
const CHECK_LIMIT_MS = 2000

export interface Health {
  /** True while the server warms up. */
  starting: boolean
  /** True while the server drains. */
  stopping: boolean
  /** True if the database file is damaged. */
  readonly isDamaged: boolean
  /** True if this process and another running process do not have each other's SECRET_KEY. */
  readonly lacksKeys: boolean
  check(): Promise<HealthState>
}

interface Parts {
  db: Kysely<Database>
  damage: DamageWatch
  keyAgreement: { readonly isValid: boolean }
  blobs: BlobStore
  redis: RedisLink | undefined
}

/**
 * Checks each part that a request may need. A damaged database is down, although it can still run queries on intact
 * parts.
 */
export function createHealth ({ db, damage, keyAgreement, blobs, redis }: Parts): Health {
  return {
    starting: false,
    stopping: false,
    get isDamaged () {
      return damage.isDamaged
    },
    get lacksKeys () {
      return !keyAgreement.isValid
    },
    async check () {
      const [reachable, storage] = await Promise.all([state(sql`select 1`.execute(db)), state(blobs.check())])
      const database = damage.isDamaged ? 'down' : reachable
      const shared = redis === undefined ? 'off' : redis.up ? 'up' : 'down'
      return {
        status: database === 'down' || storage === 'down' ? 'down' : shared === 'down' ? 'degraded' : 'ok',
        database,
        redis: shared,
        storage
      }
    }
  }
}

async function state (attempt: Promise<unknown>): Promise<PartState> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<PartState>((resolve) => {
    timer = setTimeout(resolve, CHECK_LIMIT_MS, 'down')
  })
  try {
    return await Promise.race([
      attempt.then(
        () => 'up' as const,
        () => 'down' as const
      ),
      late
    ])
  } finally {
    clearTimeout(timer)
  }
}
