#!/usr/bin/env node
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { parseArgs } from 'node:util'
import { backup } from './commands/backup.js'
import { UsageError, type Command } from './commands/command.js'
import { createAdmin } from './commands/create-admin.js'
import { doctor } from './commands/doctor.js'
import { erase } from './commands/erase-viewer.js'
import { giveUpViewers } from './commands/give-up-viewers.js'
import { migrate } from './commands/migrate.js'
import { prune } from './commands/prune-views.js'
import { recount } from './commands/recount.js'
import { restore } from './commands/restore.js'
import { resetPassword } from './commands/reset-password.js'
import { sweep } from './commands/sweep.js'
import { verify } from './commands/verify-backup.js'
import { ConfigError, loadConfig } from './config/config.js'
import type { DatabaseConfig } from './config/database.js'
import { migrations } from '../migrations/index.js'
import { migrate as migrateDatabase } from './database/migrate.js'
import { openDatabase } from './database/open.js'
import { readEnvironment } from './config/env-file.js'
import { ApiError } from './errors.js'
import { startFailure } from './process/startup-error.js'
import { VERSION } from './version.js'

const commands: Record<string, Command> = {
  migrate,
  doctor,
  recount,
  'prune-views': prune,
  'erase-viewer': erase,
  'give-up-viewers': giveUpViewers,
  'create-admin': createAdmin,
  'reset-password': resetPassword,
  sweep,
  backup,
  'verify-backup': verify,
  restore
}
/** Commands that do not migrate the database first. */
const withoutMigration = new Set(['migrate', 'doctor', 'backup', 'verify-backup', 'restore'])
/** Maximum time of a statement of a command. */
const STATEMENT_TIMEOUT_HOURS = 12
/** Exit codes: 1 for a failed command, 2 for wrong usage. */
const EXIT_USAGE = 2

async function main (args: string[]): Promise<number> {
  const [name = 'help'] = args
  if (name === '--version') {
    process.stdout.write(`${VERSION}\n`)
    return 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name]! : undefined
  if (command === undefined) {
    const asked = name === 'help' || name === '--help'
    process.stdout.write(`${asked ? '' : `unknown command: ${name}\n\n`}${help()}`)
    return asked ? 0 : EXIT_USAGE
  }
  if (args.includes('--help')) {
    process.stdout.write(
      `playgate ${command.usage}\n${command.summary}\n--json: print the result as JSON, for scripts\n`
    )
    return 0
  }
  const names = { json: 'boolean', ...command.options } as const
  const { values, positionals } = parseArgs({
    args: args.slice(1),
    allowPositionals: true,
    options: Object.fromEntries(Object.entries(names).map(([name, type]) => [name, { type }]))
  })
  const config = loadConfig(readEnvironment(process.env))
  const db = openDatabase(withLongTimeout(config.database))
  try {
    if (!withoutMigration.has(args[0]!)) await migrateDatabase(db, migrations)
    const { ok, report, lines } = await command.run({
      config,
      db,
      options: values as Record<string, string | boolean>,
      operands: positionals,
      onProgress: values.json ? () => {} : showProgress,
      readSecret
    })
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : lines.map((line) => `${line}\n`).join(''))
    return ok ? 0 : 1
  } finally {
    await db.destroy()
  }
}

/** The server's statement timeout is some seconds. A command may read the whole view log. */
function withLongTimeout (database: DatabaseConfig): DatabaseConfig {
  if (database.engine === 'sqlite') return database
  return { ...database, statementTimeoutSeconds: STATEMENT_TIMEOUT_HOURS * 3600 }
}

function help (): string {
  const lines = Object.values(commands).map(({ usage, summary }) => `  ${usage}\n      ${summary}\n`)
  return (
    `playgate <command> [--json]\n\n${lines.join('')}\nThe commands read the same configuration as the server: the ` +
    'environment, and .env in the current folder.\n'
  )
}

function showProgress (done: number, total: number): void {
  if (!process.stderr.isTTY || total === 0) return
  const width = 30
  const filled = Math.round(width * Math.min(1, done / total))
  process.stderr.write(`\r[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${done}/${total}`)
}

async function readSecret (question: string): Promise<string> {
  if (!process.stdin.isTTY) {
    const chunks = (await process.stdin.toArray()) as Buffer[]
    return Buffer.concat(chunks)
      .toString('utf8')
      .replace(/\r?\n$/, '')
  }
  process.stderr.write(question)
  // The typed text is not shown.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  const answer = await terminal.question('')
  terminal.close()
  process.stderr.write('\n')
  return answer
}

/** Returns one sentence for an error that the caller can fix, and the whole stack for any other error. */
function messageOf (error: unknown): string {
  if (error instanceof ApiError) {
    return error.options.errors?.map(({ path, message }) => `${path} ${message}`).join('\n') ?? error.message
  }
  if (isUsageError(error) || error instanceof ConfigError) return (error as Error).message
  return startFailure(error) ?? (error as Error).stack ?? String(error)
}

function isUsageError (error: unknown): boolean {
  return error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`playgate: ${messageOf(error)}\n`)
    process.exitCode = isUsageError(error) ? EXIT_USAGE : 1
  }
)
