import { Counter, Histogram, Registry } from 'prom-client'

/** Gauges by name. Each scrape calls `read`. */
export type Gauges = Record<
  string,
  { help: string; read: () => number | Promise<number>; aggregator?: 'sum' | 'min' | 'max' }
>

export type Metrics = ReturnType<typeof createMetrics>

/**
 * Creates the counters and histograms of a server. Each server has its own registry, so that one process can run
 * several servers.
 */
export function createMetrics () {
  const registers = [new Registry()]
  const jobFailures = new Counter({
    name: 'playgate_job_failures_total',
    help: 'Failed attempts of background jobs; most are retried',
    labelNames: ['kind'],
    registers
  })
  // Prometheus does not see the first increase of a series that did not exist before.
  jobFailures.inc({ kind: 'package' }, 0)
  return {
    registry: registers[0]!,
    requestSeconds: new Histogram({
      name: 'playgate_http_request_duration_seconds',
      help: 'Time until the last byte of a response, or until the client left',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers
    }),
    jobFailures,
    requests: new Counter({
      name: 'playgate_requests_total',
      help: 'Deprecated: use the count of playgate_http_request_duration_seconds',
      labelNames: ['method', 'route', 'status'],
      registers
    }),
    seconds: new Histogram({
      name: 'playgate_request_seconds',
      help: 'Deprecated: use playgate_http_request_duration_seconds',
      labelNames: ['route'],
      buckets: [0.002, 0.01, 0.05, 0.2, 1, 5],
      registers
    }),
    streamedBytes: new Counter({
      name: 'playgate_streamed_bytes_total',
      help: 'Bytes of media written to sockets, or passed to nginx with STREAM_OFFLOAD',
      registers
    }),
    stalledStreams: new Counter({
      name: 'playgate_stalled_streams_total',
      help: 'Stalled streams that the server ended to free their slots',
      registers
    }),
    views: new Counter({
      name: 'playgate_views_total',
      help: 'Views received, by outcome',
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
