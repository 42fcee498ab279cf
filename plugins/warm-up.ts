import fp from 'fastify-plugin'
import type { Prober } from '../src/media/probe/probe.js'
import type { Health } from '../src/monitoring/health.js'

export interface WarmUpOverrides {
  /** If false, the first requests compile schemas and start workers. */
  warmUp?: boolean
  /** Sends typical first requests to a second server: see src/process/rehearsal.ts. */
  rehearse?: (prober: Prober) => Promise<void>
}

interface Options {
  health: Health
  /** The tasks by name. A failed task is logged, and the first request that needs its result repeats the work. */
  warmUpTasks: Record<string, () => Promise<unknown>>
  prober: Prober
  rehearse?: WarmUpOverrides['rehearse'] | undefined
}

/**
 * Does the work of the first requests before the server is ready: starts worker threads and compiles schemas. Until the
 * last task ends, /readyz returns 503 `starting`. All other requests are served as usual.
 */
export default fp<Options>(
  async (app, { health, warmUpTasks, prober, rehearse }) => {
    const rehearsal = rehearse && { rehearsal: () => rehearse(prober) }
    const tasks = { schemas: () => app.compileSchemas(), ...warmUpTasks, ...rehearsal }
    app.server.once('listening', () => {
      health.starting = true
    })
    let warming: Promise<unknown> = Promise.resolve()
    app.addHook('onListen', async () => {
      warming = Promise.all(
        Object.entries(tasks).map(async ([task, run]) => {
          try {
            await run()
          } catch (error) {
            if (!health.stopping) {
              app.log.warn({ err: error, task }, 'warm-up failed: the first requests will be slower')
            }
          }
        })
      )
      // Not awaited, so the maintenance tasks of a start run meanwhile, and not during the first requests.
      void warming.then(() => {
        health.starting = false
      })
    })
    // A rehearsal deletes its folder at its end.
    app.addHook('onClose', () => warming)
  },
  { name: 'warm-up' }
)
