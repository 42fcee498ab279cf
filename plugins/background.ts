import fp from 'fastify-plugin'
import { setTimeout as sleep } from 'node:timers/promises'
import { TaskScheduler } from '../src/jobs/scheduler.js'
import { createMaintenanceTasks } from '../src/maintenance/maintenance-tasks.js'
import type { Services } from '../src/services.js'
import { MINUTE, SECOND } from '../src/time.js'

interface Options {
  services: Services
  maintenanceIntervalMs: number | undefined
}

const MAINTENANCE_INTERVAL_MS = 10 * MINUTE

/**
 * Starts the maintenance tasks and the job runners when the server listens. Stops them before the resources that they
 * use are closed. Before the stop, /readyz returns 503 for SHUTDOWN_DELAY_SECONDS, so that load balancers send no new
 * requests.
 */
export default fp<Options>(
  async (app, { services, maintenanceIntervalMs = MAINTENANCE_INTERVAL_MS }) => {
    const { config, courseRunner, descriptionRunner, health, holds, prober, providers, renditionMaker } = services
    const { isOnlyInstance } = app
    const { startup, periodic } = createMaintenanceTasks({ ...services, isOnlyInstance })
    const scheduler = new TaskScheduler(periodic, maintenanceIntervalMs, (error, failureMessage) =>
      app.log.error({ err: error }, failureMessage)
    )
    const mux = providers.mux === undefined ? [] : [providers.mux]
    const runners = [providers.local, ...mux, courseRunner, descriptionRunner, renditionMaker]
    app.addHook('onListen', async () => {
      await scheduler.run(startup)
      for (const runner of runners) await runner.start(isOnlyInstance)
    })
    app.addHook('preClose', async () => {
      health.stopping = true
      // The prober gets half of the grace period. The other half is for the responses.
      prober.endWithin((config.shutdownGraceSeconds * SECOND) / 2)
      await sleep(config.shutdownDelaySeconds * SECOND)
      // Their clients continue at another server.
      holds.stop()
    })
    app.addHook('onClose', async () => {
      await Promise.all([scheduler.stop(), ...runners.map((runner) => runner.stop())])
    })
  },
  { name: 'background', dependencies: ['database'] }
)
