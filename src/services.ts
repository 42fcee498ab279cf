import { NIL } from 'uuid'
import type { Foundation } from './composition/foundation.js'
import { createMedia } from './composition/media.js'
import { createPeople } from './composition/people.js'
import { createPlayback } from './composition/playback.js'
import { createTeaching, createUploads } from './composition/teaching.js'
import { Idempotency } from './idempotency/idempotency.js'
import { ConcurrencyLimiter } from './limits/concurrency-limiter.js'
import { createViewLimit } from './limits/view-limit.js'
import { openWindows } from './limits/windows.js'
import { createGauges } from './monitoring/gauges.js'
import { createHealth } from './monitoring/health.js'
import { createMetrics } from './monitoring/metrics.js'
import { openViewLog } from './views/view-log.js'

export type Services = Awaited<ReturnType<typeof createServices>>

/**
 * Composes the rules of all features, without HTTP. Nothing runs by itself: the job runners are started by
 * plugins/background.ts. `close()` ends worker pools and writes the views that are queued.
 *
 * Throws StartupError if the secret of the view log cannot be opened by the SECRET_KEY.
 */
export async function createServices (foundation: Foundation) {
  const metrics = createMetrics()
  const { config, clock, redis, overrides } = foundation
  const limits = {
    windows: openWindows(clock, redis, overrides.clock?.now),
    uploadLimiter: new ConcurrencyLimiter(config.uploadsAtOnce, 'too_many_uploads', clock),
    streamLimiter: new ConcurrencyLimiter(config.streamsAtOnce, 'too_many_streams', clock)
  }
  const people = createPeople({ ...foundation, ...limits })
  const viewing = await openViewLog({
    ...foundation,
    metrics,
    limit: createViewLimit(limits.windows.clients, config.limitsPerMinute.view),
    streamWaitMs: overrides.streamWaitMs,
    inThread: overrides.isRehearsal !== true
  })
  const media = await createMedia({ ...foundation, ...people, metrics })
  const teaching = createTeaching({ ...foundation, ...people, ...viewing, ...media })
  const uploads = createUploads({ ...foundation, ...people, ...media, ...teaching })
  const playback = createPlayback({ ...foundation, ...people, ...media, ...teaching })
  const health = createHealth(foundation)
  return {
    ...foundation,
    metrics,
    ...limits,
    ...people,
    ...viewing,
    ...media,
    ...teaching,
    ...uploads,
    ...playback,
    idempotency: new Idempotency({
      ...foundation,
      keys: foundation.secrets.keyring('idempotency'),
      waitMs: overrides.idempotencyWaitMs
    }),
    health,
    gauges: createGauges({ ...foundation, health, ...limits, ...people, ...viewing, ...media }),
    warmUpTasks: {
      passwords: () => people.passwords.warmUp(),
      probe: () => media.prober.warmUp(),
      records: () => Promise.all([media.library.findNow(NIL), people.accounts.viewer(NIL)]),
      views: async () => await viewing.sqliteCommit?.warmUp()
    },
    async close () {
      people.review.stop()
      await viewing.writer.flush()
      await Promise.all([
        viewing.sqliteCommit?.close(),
        people.passwords.close(),
        people.apiKeys.close(),
        media.captionReader.close()
      ])
      media.prober.close()
    }
  }
}
