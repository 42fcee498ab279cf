import { existsSync } from 'node:fs'
import type { Config } from '../config/config.js'
import type { DatabaseConfig } from '../config/database.js'

/**
 * Returns whether no server has run here yet. Callers must not open the SQLite database then, because that would create
 * it.
 */
export function isNew (config: Config): config is Config & { database: DatabaseConfig & { engine: 'sqlite' } } {
  return config.database.engine === 'sqlite' && !existsSync(config.database.path)
}
