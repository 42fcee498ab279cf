import closeWithGrace from 'close-with-grace'
import cluster from 'node:cluster'
import { resolve } from 'node:path'
import { buildApp } from './app.js'
import { ConfigError, loadConfig, type Config } from './config.js'
import { drain, trackSockets } from './drain.js'
import { readEnvironment } from './environment.js'
import { exchangeFigures } from './process-figures.js'
import { superviseProcesses } from './processes.js'

/** `--processes N` is PROCESSES=N. */
function environment (): Record<string, string | undefined> {
  const at = process.argv.indexOf('--processes')
  return { ...readEnvironment(process.env), ...(at > 0 && { PROCESSES: process.argv[at + 1] ?? 'nothing' }) }
}

async function main (): Promise<void> {
  const config = loadConfig(environment())
  if (config.processes > 1 && cluster.isPrimary) {
    superviseProcesses(config.processes, config.shutdownGraceSeconds, (line) => process.stdout.write(`${line}\n`))
    return
  }
  // Told to stop while it starts, a process has nothing to drain.
  let stop = (): void => process.exit(0)
  if (cluster.isWorker) {
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
    process.on('message', (message) => { if (message === 'stop') stop() })
    process.once('disconnect', () => stop())
    // What the first process said before was lost: it says it again.
    process.send?.('listening for messages')
  }
  const app = await buildApp(config, cluster.isWorker ? { gatherFigures: exchangeFigures } : {})
  const sockets = trackSockets(app.server)
  const { close } = closeWithGrace({
    delay: (config.shutdownGraceSeconds + 5) * 1000,
    logger: app.log,
    // One of several leaves signals to the process that started it: a terminal, or systemd, sends them to all.
    skip: cluster.isWorker ? ['SIGINT', 'SIGTERM'] : []
  }, async ({ err }) => {
    if (err !== undefined) app.log.fatal({ err }, 'stopping after an error')
    await drain(app, sockets, config.shutdownGraceSeconds * 1000)
    // The channel to the first process would keep this one alive after everything is closed.
    if (cluster.isWorker) process.exit(err === undefined ? 0 : 1)
  })
  stop = close
  const address = await app.listen({ host: config.host, port: config.port })
  if (!cluster.isWorker || cluster.worker?.id === 1) announce(address, config)
}

function announce (address: string, { database, uploadDir, dataDir, processes }: Config): void {
  const where = database.engine === 'sqlite' ? resolve(database.path) : 'Postgres'
  process.stdout.write(`Playgate listens on ${address} (${processes > 1 ? `${processes} processes, ` : ''}API pages: ${address}/docs, data: ${where}, files: ${resolve(uploadDir)}, secret: ${resolve(dataDir)})\n`)
}

main().catch((error: unknown) => {
  process.stderr.write(error instanceof ConfigError ? `${error.message}\n` : `Playgate could not start: ${(error as Error).stack ?? String(error)}\n`)
  process.exit(1)
})
