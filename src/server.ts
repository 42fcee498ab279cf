import closeWithGrace from 'close-with-grace'
import cluster from 'node:cluster'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildApp } from './app.js'
import { ConfigError, loadConfig, type Config } from './config/config.js'
import { VARIABLES } from './config/environment.js'
import { drain, trackSockets } from './process/drain.js'
import { readEnvironment } from './config/env-file.js'
import { exchangeMetrics } from './process/cluster-metrics.js'
import { sendToPrimary } from './process/messages.js'
import { OLD_VARIABLES, renamedWarning } from './config/renamed-variables.js'
import { superviseProcesses } from './process/cluster.js'
import { startFailure } from './process/startup-error.js'
import { rehearse } from './process/rehearsal.js'
import { onStopSignals } from './process/signals.js'

/** `--processes N` sets PROCESSES to N. */
function environment (): Record<string, string | undefined> {
  const { values } = parseArgs({ options: { processes: { type: 'string' } } })
  const onUnknown = (names: string[]) =>
    process.stderr.write(`ignored unknown variables in .env: ${names.join(', ')}\n`)
  return {
    ...readEnvironment(process.env, [...VARIABLES, ...OLD_VARIABLES], onUnknown),
    ...(values.processes !== undefined && { PROCESSES: values.processes })
  }
}

async function main (): Promise<void> {
  const config = loadConfig(environment())
  if (config.processes > 1 && cluster.isPrimary) {
    superviseProcesses(config.processes, config.shutdownGraceSeconds, (line) => process.stdout.write(`${line}\n`))
    return
  }
  // A process that receives a stop signal during its start has no requests to drain.
  let stop = (): void => process.exit(0)
  // Workers ignore signals, because a terminal and systemd send signals to all processes. The primary stops the
  // workers.
  onStopSignals(
    () => {
      if (!cluster.isWorker) stop()
    },
    () => {
      if (!cluster.isWorker) process.exit(1)
    }
  )
  if (cluster.isWorker) {
    process.on('message', (message) => {
      if (message === 'stop') stop()
    })
    process.once('disconnect', () => stop())
    // Messages that the primary sent earlier were lost, so the primary sends them again.
    sendToPrimary('listening for messages')
  }
  const app = await buildApp(config, { rehearse, ...(cluster.isWorker && { gatherMetrics: exchangeMetrics }) })
  const isFirst = !cluster.isWorker || cluster.worker?.id === 1
  if (isFirst && config.oldVariables.length > 0) app.log.warn(renamedWarning(config.oldVariables))
  const sockets = trackSockets(app.server)
  const { close } = closeWithGrace(
    {
      delay: (config.shutdownGraceSeconds + 5) * 1000,
      logger: app.log,
      skip: ['SIGINT', 'SIGTERM']
    },
    async ({ err }) => {
      if (err !== undefined) app.log.fatal({ err }, 'stopping after an error')
      app.log.info({ connections: sockets.size }, 'stopping: requests in progress may finish')
      await drain(app, sockets, config.shutdownGraceSeconds * 1000)
      app.log.info('stopped')
      // The channel to the primary would keep this process running after everything is closed.
      if (cluster.isWorker) process.exit(err === undefined ? 0 : 1)
    }
  )
  stop = close
  const address = await app.listen({ host: config.host, port: config.port })
  if (isFirst) announce(address, config)
}

function announce (address: string, { database, uploadDir, dataDir, secretKey, processes }: Config): void {
  const where = database.engine === 'sqlite' ? resolve(database.path) : 'Postgres'
  process.stdout.write(
    `Playgate listens on ${address} (${processes > 1 ? `${processes} processes, ` : ''}API pages: ${address}/docs, ` +
      `data: ${where}, files: ${resolve(uploadDir)}, secret: ` +
      `${secretKey === undefined ? join(resolve(dataDir), 'secret.key') : 'SECRET_KEY'})\n`
  )
}

main().catch((error: unknown) => {
  const { code, message, stack } = error as Error & { code?: string }
  const sentence = error instanceof ConfigError || code?.startsWith('ERR_PARSE_ARGS') ? message : startFailure(error)
  process.stderr.write(
    `${error instanceof ConfigError ? '' : 'Playgate could not start: '}${sentence ?? stack ?? String(error)}\n`
  )
  process.exit(1)
})
