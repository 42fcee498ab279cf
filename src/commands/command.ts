import type { Kysely } from 'kysely'
import type { Config } from '../config/config.js'
import type { Database } from '../database/tables.js'
import type { OnProgress } from '../views/view-maintenance.js'

/** What a command may use. */
export interface CommandContext {
  config: Config
  db: Kysely<Database>
  /** Options by name, as `node:util` parseArgs gives them. */
  options: Record<string, string | boolean | undefined>
  /** What stands after the command's name. */
  operands: string[]
  /** Shows the progress of long work, only on a terminal. */
  onProgress: OnProgress
  /** Asks for a secret without showing it, or reads it from standard input. */
  readSecret(question: string): Promise<string>
}

/** What a command found or did: `report` for scripts, `lines` for people, `ok: false` for exit code 1. */
export interface CommandResult {
  ok: boolean
  report: unknown
  lines: string[]
}

/** A mistake in how a command was called: its message is all that is shown. */
export class UsageError extends Error {}

export interface Command {
  summary: string
  usage: string
  /** Names of options that take a value, and of those that don't. */
  options?: Record<string, 'string' | 'boolean'>
  run(context: CommandContext): Promise<CommandResult>
}
