import type { Kysely } from 'kysely'
import { BackupError } from '../backup/manifest.js'
import type { Config } from '../config/config.js'
import type { Database } from '../database/tables.js'
import type { OnProgress } from '../views/view-maintenance.js'

/** The context that a command runs in. */
export interface CommandContext {
  config: Config
  db: Kysely<Database>
  /** Options by name, as `parseArgs` of `node:util` returns them. */
  options: Record<string, string | boolean | undefined>
  /** Positional arguments after the command's name. */
  operands: string[]
  /** Shows the progress of a long command if the output is a terminal. */
  onProgress: OnProgress
  /** Prompts for a secret without echo, or reads it from standard input. */
  readSecret(question: string): Promise<string>
}

/**
 * The result of a command. `report` is for scripts, and `lines` are for people. `ok: false` sets the exit code to 1.
 */
export interface CommandResult {
  ok: boolean
  report: unknown
  lines: string[]
}

/** An invalid command line. Only its message is printed. */
export class UsageError extends Error {}

/** Resolves as `work` does. A BackupError becomes a UsageError, so that only its message is printed. */
export async function backupWork<T> (work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof BackupError ? new UsageError(error.message) : error
  }
}

export interface Command {
  summary: string
  usage: string
  /** Options by name. A `string` option has a value, and a `boolean` option has none. */
  options?: Record<string, 'string' | 'boolean'>
  run(context: CommandContext): Promise<CommandResult>
}
