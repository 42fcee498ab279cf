import { randomUUID } from 'node:crypto'
import { findRedis } from '../test/support/services.js'
import { requestsOf, type Bench } from './bench.js'
import { get, measureLoad } from './load.js'
import { linkedMedia, startBenchServer } from './bench-server.js'

const CONNECTIONS = 64

/** What a limit that all processes share adds to a request. */
export const redisLimit: Bench = {
  name: 'redis-limit',
  about: 'GET /media/{id} with a limit that is shared through Redis, and without any; 64 addresses',
  unit: 'request',
  gated: true,
  rows: [
    {
      what: 'CPU that a limit shared through Redis adds',
      figure: 'cpu',
      subject: 'with the limit',
      baseline: 'without',
      by: 'difference',
      atMost: 35
    }
  ],
  async open (t, length) {
    const redis = await findRedis()
    if (typeof redis === 'string') throw new Error(redis)
    t.teardown(() => redis.stop())
    // Other runs may have used the same addresses, so the limit is far above the requests of any run.
    const limited = await startBenchServer(t, { REDIS_URL: redis.url, RATE_LIMIT_API_PER_MINUTE: '1000000' })
    const free = await startBenchServer(t, { REDIS_URL: redis.url })
    const count = requestsOf(length)
    const side = async (server: typeof free) => {
      const requests = [get(`/media/${await linkedMedia(server)}`, { 'x-request-id': randomUUID() })]
      return () =>
        measureLoad(server, {
          kind: 'requests',
          origin: server.origin,
          connections: CONNECTIONS,
          count,
          requests,
          expect: 200
        })
    }
    return { 'with the limit': await side(limited), without: await side(free) }
  }
}
