import closeWithGrace from 'close-with-grace'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { buildApp } from './app.js'
import { ConfigError, loadConfig, type Config } from './config.js'
import { drain } from './drain.js'

/** The environment, and beneath it `.env` of the current folder. An empty variable does not hide the file's. */
export function readEnvironment (): Record<string, string | undefined> {
  let file = {}
  try {
    file = parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return { ...file, ...Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== '')) }
}

async function main (): Promise<void> {
  const config = loadConfig(readEnvironment())
  const app = await buildApp(config)
  closeWithGrace({ delay: (config.shutdownGraceSeconds + 5) * 1000, logger: app.log }, async ({ err }) => {
    if (err !== undefined) app.log.fatal({ err }, 'stopping after an error')
    await drain(app, config.shutdownGraceSeconds * 1000)
  })
  const address = await app.listen({ host: config.host, port: config.port })
  announce(address, config)
}

function announce (address: string, { database, uploadDir, dataDir }: Config): void {
  const where = database.engine === 'sqlite' ? resolve(database.path) : 'Postgres'
  process.stdout.write(`Playgate listens on ${address} (API pages: ${address}/docs, data: ${where}, files: ${resolve(uploadDir)}, settings: .env, kept secret: ${resolve(dataDir)})\n`)
}

main().catch((error: unknown) => {
  process.stderr.write(error instanceof ConfigError ? `${error.message}\n` : `Playgate could not start: ${(error as Error).stack ?? String(error)}\n`)
  process.exit(1)
})
