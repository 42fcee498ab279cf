import { join } from 'node:path'
import type { Environment } from './environment.js'

export type DatabaseConfig =
  | { engine: 'sqlite'; path: string }
  | { engine: 'postgres'; url: string; poolSize: number; statementTimeoutSeconds: number }

/** Returns the database of `DATABASE_URL`; by default SQLite in `DATA_DIR`. Adds an invalid URL to `problems`. */
export function databaseConfig (read: Environment, problems: string[]): DatabaseConfig {
  const url = read.DATABASE_URL ?? `sqlite:${join(read.DATA_DIR, 'playgate.db')}`
  if (/^postgres(ql)?:\/\/./.test(url)) {
    return {
      engine: 'postgres',
      url,
      poolSize: read.DATABASE_POOL_SIZE,
      statementTimeoutSeconds: read.DATABASE_STATEMENT_TIMEOUT_SECONDS
    }
  }
  const path = /^sqlite:(?:\/\/(?=\/))?(.+)$/.exec(url)?.[1]
  if (path === undefined || path.startsWith(':memory:')) {
    problems.push('DATABASE_URL must be sqlite:<path>, postgres://… or postgresql://…')
  }
  return { engine: 'sqlite', path: path ?? '' }
}
