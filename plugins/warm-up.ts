import fp from 'fastify-plugin'
import type { Prober } from '../src/media/probe/probe.js'
import type { Health } from '../src/monitoring/health.js'

export interface WarmUpOverrides {
  /** False: the first requests compile schemas and start workers themselves. */
  warmUp?: boolean
  /** Makes the first calls of clients on a second server: see src/process/rehearsal.ts. */
  rehearse?: (prober: Prober) => Promise<void>
}

interface Options {
  health: Health
  /** By name. A task that fails is logged; the first request that needs its result repeats the work. */
  warmUpTasks: Record<string, () => Promise<unknown>>
  prober: Prober
  rehearse?: WarmUpOverrides['rehearse'] | undefined
}

/**
 * Does the work of the first requests before the server is ready: starts worker threads, compiles schemas. From the
 * moment it listens until the last task ends, /readyz returns 503 `starting`; every other request is served as usual.
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
      // Not awaited: the maintenance tasks of a start run meanwhile, and not beside the first requests.
      void warming.then(() => {
        health.starting = false
      })
    })
    // A rehearsal removes its folder at its end.
    app.addHook('onClose', () => warming)
  },
  { name: 'warm-up' }
)
