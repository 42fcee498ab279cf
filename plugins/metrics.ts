import type { FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import fp from 'fastify-plugin'
import { createHash, timingSafeEqual } from 'node:crypto'
import {
  AggregatorRegistry,
  Gauge,
  collectDefaultMetrics,
  type MetricObjectWithValues,
  type MetricValue
} from 'prom-client'
import type { Config } from '../src/config/config.js'
import { ApiError } from '../src/errors.js'
import type { Gauges, Metrics } from '../src/monitoring/metrics.js'
import { problemResponses } from '../src/schemas/problem.js'
import type { ProcessMetrics } from '../src/process/cluster-metrics.js'
import { SECOND } from '../src/time.js'
import { whenOver } from './request-log.js'

/** Wraps a function that collects the metrics of this process. The result collects the metrics of all processes. */
export type Gather = (own: () => Promise<ProcessMetrics>) => () => Promise<ProcessMetrics[]>

interface Options {
  config: Pick<Config, 'metricsToken' | 'environment'>
  gauges: Gauges
  metrics: Metrics
  /** If several processes share a port, the process that receives the request responds for all of them. */
  gather: Gather | undefined
  isRehearsal?: boolean | undefined
}

/**
 * Serves `/metrics` to Prometheus. Requests need METRICS_TOKEN. If it is unset, requests from this machine are accepted
 * outside production.
 */
export default fp<Options>(
  async (app, { config: { metricsToken: token, environment }, gauges, metrics, gather, isRehearsal }) => {
    // Not in production: a proxy on this machine may forward requests without a header that shows it.
    const loopbackAllowed = environment !== 'production'
    const { registry, requests, requestSeconds, seconds } = metrics
    // By default, the event loop delay is sampled 100 times a second, which wakes an idle machine.
    if (isRehearsal !== true) collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 })
    for (const [name, { help, read, aggregator = 'sum' }] of Object.entries(gauges)) {
      registry.registerMetric(
        new Gauge({
          name,
          help,
          aggregator,
          registers: [],
          async collect () {
            this.set(await read())
          }
        })
      )
    }
    const ofAll = gather?.(() => registry.getMetricsAsJSON())
    app.addHook('onRequest', (request, reply, done) => {
      whenOver(reply, (status) => {
        const route = request.routeOptions.url ?? 'unknown'
        const labels = { method: request.method, route, status }
        const elapsed = reply.elapsedTime / SECOND
        requestSeconds.observe(labels, elapsed)
        requests.inc(labels)
        if (route !== '/media/stream/:id') seconds.observe({ route }, elapsed)
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

/** Checks the address of the socket, because a client can forge a forwarded address. */
function mayRead ({ headers, socket }: FastifyRequest, token: string | undefined, loopbackAllowed: boolean): boolean {
  const isLoopback = /^(127\.|::1$|::ffff:127\.)/.test(socket.remoteAddress ?? '')
  if (token === undefined) return loopbackAllowed && isLoopback && headers['x-forwarded-for'] === undefined
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`))
}
