import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import assets from '../plugins/assets.js'
import auth from '../plugins/auth.js'
import background from '../plugins/background.js'
import blobReply from '../plugins/blob-reply.js'
import corsPolicy from '../plugins/cors-policy.js'
import database from '../plugins/database.js'
import errors, { unroutedErrors } from '../plugins/errors.js'
import idempotency from '../plugins/idempotency.js'
import metrics, { type Gather } from '../plugins/metrics.js'
import multipart from '../plugins/multipart.js'
import openapi from '../plugins/openapi.js'
import origin from '../plugins/origin.js'
import rateLimit from '../plugins/rate-limit.js'
import redisClient from '../plugins/redis.js'
import requestLog, { logOptions } from '../plugins/request-log.js'
import keyrings from '../plugins/secrets.js'
import securityHeaders from '../plugins/security-headers.js'
import slowBodies from '../plugins/slow-bodies.js'
import sockets from '../plugins/sockets.js'
import storage from '../plugins/storage.js'
import uploads from '../plugins/uploads.js'
import validation from '../plugins/validation.js'
import warmUp, { type WarmUpOverrides } from '../plugins/warm-up.js'
import routes from '../routes/index.js'
import type { Config } from './config/config.js'
import type { ServiceOverrides } from './composition/foundation.js'
import { serverOptions } from './http/server-options.js'
import { createServices } from './services.js'
import { systemClock } from './time.js'

/** Values that tests replace, and values that only the process can set. */
export interface Overrides extends ServiceOverrides, WarmUpOverrides {
  logger?: FastifyServerOptions['logger']
  maintenanceIntervalMs?: number
  /** Collects the metrics of all processes, if there are several. */
  gatherMetrics?: Gather
}

/** Returns the server, composed and migrated, ready to listen or to inject. `close()` releases all its resources. */
export async function buildApp (config: Config, overrides: Overrides = {}): Promise<FastifyInstance> {
  const app = fastify({ ...serverOptions(config), ...logOptions(config, overrides.logger), ...unroutedErrors(config) })
  try {
    // Basic resources. Each plugin opens, decorates and logs its own resource. They close in reverse order.
    await app.register(database, { config })
    await app.register(keyrings, { config })
    await app.register(storage, { config })
    await app.register(redisClient, { config })
    const { log, db, damage, secrets, keyAgreement, blobs, redisLink: redis } = app
    const foundation = { config, overrides, log, db, damage, secrets, keyAgreement, blobs, redis }
    const services = await createServices({ ...foundation, clock: { ...systemClock, ...overrides.clock } })
    app.addHook('onClose', () => services.close())
    // Plugins for every request. `errors`, `rateLimit` and `openapi` apply only to routes that are registered later.
    await app.register(sockets)
    await app.register(origin, services)
    await app.register(errors)
    await app.register(validation)
    await app.register(requestLog)
    await app.register(slowBodies)
    await app.register(corsPolicy, services)
    await app.register(securityHeaders)
    await app.register(rateLimit, services)
    await app.register(assets)
    await app.register(openapi, services)
    await app.register(metrics, { ...services, gather: overrides.gatherMetrics, isRehearsal: overrides.isRehearsal })
    await app.register(auth, services)
    await app.register(uploads, services)
    await app.register(multipart, services)
    await app.register(idempotency, services)
    await app.register(blobReply, services)
    await app.register(routes, { services })
    // Background work.
    if (overrides.warmUp !== false) await app.register(warmUp, { ...services, rehearse: overrides.rehearse })
    await app.register(background, { services, maintenanceIntervalMs: overrides.maintenanceIntervalMs })
    return app
  } catch (error) {
    await app.close()
    throw error
  }
}
