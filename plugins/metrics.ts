import type { FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import fp from 'fastify-plugin'
import { createHash, timingSafeEqual } from 'node:crypto'
import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  Registry,
  collectDefaultMetrics,
  type MetricObjectWithValues,
  type MetricValue
} from 'prom-client'
import { ApiError } from '../src/errors.js'
import { problemResponses } from '../src/schemas/problem.js'
import type { Figures } from '../src/process/cluster-metrics.js'
import { whenOver } from './request-log.js'

/** Figures that are read when somebody asks, by name; each says what it counts. */
export type Gauges = Record<string, { help: string; read: () => number; aggregator?: 'sum' | 'min' | 'max' }>

interface Options {
  token: string | undefined
  /**
   * Whether requests from this machine need no token where none is set: never behind a proxy, which may say nothing of
   * itself.
   */
  loopbackAllowed: boolean
  gauges: Gauges
  metrics: Metrics
  /** Of several processes behind one port, which the one that is asked has to speak for all of. */
  gather: ((own: () => Promise<Figures>) => () => Promise<Figures[]>) | undefined
}

export type Metrics = ReturnType<typeof createMetrics>

/** What is counted as it happens. One registry a server, so that several may live in one process. */
export function createMetrics () {
  const registers = [new Registry()]
  return {
    registry: registers[0]!,
    requests: new Counter({
      name: 'playgate_requests_total',
      help: 'Requests answered, or left by their clients',
      labelNames: ['method', 'route', 'status'],
      registers
    }),
    seconds: new Histogram({
      name: 'playgate_request_seconds',
      help: 'Time to answer, streams left out',
      labelNames: ['route'],
      buckets: [0.002, 0.01, 0.05, 0.2, 1, 5],
      registers
    }),
    streamedBytes: new Counter({
      name: 'playgate_streamed_bytes_total',
      help: 'Bytes of media handed to sockets; with STREAM_OFFLOAD, to nginx to send',
      registers
    }),
    stalledStreams: new Counter({
      name: 'playgate_stalled_streams_total',
      help: 'Streams ended to make room, because their clients took no bytes',
      registers
    }),
    views: new Counter({
      name: 'playgate_views_total',
      help: 'Views handed in, by what became of them',
      labelNames: ['outcome'],
      registers
    }),
    batchViews: new Histogram({
      name: 'playgate_view_batch_views',
      help: 'Views committed in one transaction',
      buckets: [1, 2, 5, 10, 50, 200, 1000],
      registers
    })
  }
}

/**
 * `/metrics` for Prometheus. It needs METRICS_TOKEN; outside production, where none is set, requests from this machine
 * may read it too.
 */
export default fp<Options>(
  async (app, { token, loopbackAllowed, gauges, metrics, gather }) => {
    const { registry, requests, seconds } = metrics
    // By its default the delay of the event loop is looked at 100 times a second, which wakes a machine that has
    // nothing to do.
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 })
    for (const [name, { help, read, aggregator = 'sum' }] of Object.entries(gauges)) {
      registry.registerMetric(
        new Gauge({
          name,
          help,
          aggregator,
          registers: [],
          collect () {
            this.set(read())
          }
        })
      )
    }
    const ofAll = gather?.(() => registry.getMetricsAsJSON())

    app.addHook('onRequest', (request, reply, done) => {
      whenOver(reply, (status) => {
        const route = request.routeOptions.url ?? 'unknown'
        requests.inc({ method: request.method, route, status })
        if (route !== '/media/stream/:id') seconds.observe({ route }, reply.elapsedTime / 1000)
      })
      done()
    })

    app.get(
      '/metrics',
      {
        config: { limit: 'none' },
        schema: {
          operationId: 'getMetrics',
          summary: 'Get the metrics of the server',
          description:
            'In the text format of Prometheus. Send METRICS_TOKEN as a Bearer token. ' +
            'Outside production, without a METRICS_TOKEN, local requests need none.',
          tags: ['Service'],
          security: [{}, { bearer: [] }],
          response: {
            200: { description: 'The metrics.', content: { 'text/plain': { schema: Type.String() } } },
            ...problemResponses('metrics_forbidden')
          }
        }
      },
      async (request, reply) => {
        if (!mayRead(request, token, loopbackAllowed)) throw new ApiError('metrics_forbidden')
        const all =
          ofAll === undefined
            ? registry
            : AggregatorRegistry.aggregate((await ofAll()) as Array<Array<MetricObjectWithValues<MetricValue<string>>>>)
        return reply.type(registry.contentType).send(await all.metrics())
      }
    )
  },
  { name: 'metrics', dependencies: ['errors'] }
)

/** The socket tells what loopback is: a forwarded address can be anything. */
function mayRead ({ headers, socket }: FastifyRequest, token: string | undefined, loopbackAllowed: boolean): boolean {
  const isLoopback = /^(127\.|::1$|::ffff:127\.)/.test(socket.remoteAddress ?? '')
  if (token === undefined) return loopbackAllowed && isLoopback && headers['x-forwarded-for'] === undefined
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`))
}
