import type { Kysely } from 'kysely'
import type { HashWorkers } from '../accounts/passwords.js'
import type { Config } from '../config/config.js'
import type { DamageWatch } from '../database/damage-watch.js'
import type { Database } from '../database/tables.js'
import type { Prober } from '../media/probe/probe.js'
import type { Ffmpeg } from '../protection/hls/ffmpeg.js'
import type { MuxTimes } from '../protection/mux/mux-provider.js'
import type { RedisLink } from '../redis/redis.js'
import type { KeyAgreement } from '../secrets/key-agreement.js'
import type { Secrets } from '../secrets/keyring.js'
import type { BlobStore } from '../storage/blob-store.js'
import type { Clock } from '../time.js'

/** What a test replaces. */
export interface ServiceOverrides {
  clock?: Partial<Clock>
  bcryptCost?: number
  hashWorkers?: HashWorkers
  prober?: Prober
  /** True: another server of this process measures the process, and views need no thread of their own. */
  isRehearsal?: boolean
  /** False: as on a machine without it. */
  ffmpeg?: Ffmpeg | false
  /** How often transfers under way are checked again, in milliseconds. */
  reviewEveryMs?: number
  /** How long a stream waits for its view to be committed, in milliseconds. */
  streamWaitMs?: number
  /** How long a request waits for the first request with its Idempotency-Key, in milliseconds. */
  idempotencyWaitMs?: number
  /** Timeouts and polling intervals of Mux, in milliseconds. */
  muxTimes?: MuxTimes
}

/** What the rules stand on. Whoever opened it closes it, after the services. */
export interface Foundation {
  config: Config
  clock: Clock
  log: Record<'info' | 'warn' | 'error', (about: object, text: string) => void>
  db: Kysely<Database>
  damage: DamageWatch
  secrets: Secrets
  keyAgreement: KeyAgreement
  blobs: BlobStore
  redis: RedisLink | undefined
  overrides: ServiceOverrides
}
