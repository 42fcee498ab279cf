import type { DatabaseConfig } from './database.js'
import type { Environment } from './environment.js'
import { listOf } from './formats.js'

/** Returns the secrets. Adds invalid ones to `problems`. */
export function secretSettings (read: Environment, { engine }: DatabaseConfig, problems: string[]) {
  const secretKey = read.SECRET_KEY ?? read.ACCESS_TOKEN_SECRET_KEY
  checkSecret('SECRET_KEY', secretKey, problems)
  const secretKeysPrevious = listOf(read.SECRET_KEYS_PREVIOUS)
  for (const key of secretKeysPrevious) checkSecret('SECRET_KEYS_PREVIOUS', key, problems)
  if (engine === 'postgres' && secretKey === undefined) {
    problems.push(
      'SECRET_KEY is required with Postgres: all processes must share it (make one with: openssl rand -base64 48)'
    )
  }
  return { secretKey, secretKeysPrevious }
}

function checkSecret (name: string, value: string | undefined, problems: string[]): void {
  if (value !== undefined && value.length < 32) {
    problems.push(`${name} must have at least 32 characters (make one with: openssl rand -base64 48)`)
  }
}
