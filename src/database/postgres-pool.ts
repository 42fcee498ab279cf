import pg from 'pg'
import type { DatabaseConfig } from '../config/database.js'

/** Called when a connection fails outside of a query. Without a listener, the error would end the process. */
export type OnConnectionError = (error: Error) => void

const INT8 = 20
const NUMERIC = 1700
/** Reads bigint and numeric as numbers, because every stored value is below 2^53. */
const numbers = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 || oid === NUMERIC ? Number : pg.types.getTypeParser(oid, format as 'text')
}

/**
 * Closes a connection after a query timeout. The connection is still busy with the query, so its next user would wait
 * for a server that may be gone.
 */
function endAfterTimeout (client: pg.PoolClient): void {
  const query = client.query.bind(client) as (...args: unknown[]) => unknown
  client.query = ((...args: unknown[]) => {
    const result = query(...args)
    if (result instanceof Promise) {
      result.catch((error: Error) => {
        if (error.message === 'Query read timeout') {
          ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
        }
      })
    }
    return result
  }) as typeof client.query
}

/** Creates a pool of Postgres connections, without opening any. The caller must end the pool. */
export function openPool (
  config: DatabaseConfig & { engine: 'postgres' },
  onConnectionError: OnConnectionError
): pg.Pool {
  const pool = new pg.Pool({
    connectionString: config.url,
    max: config.poolSize,
    connectionTimeoutMillis: 5000,
    idleTimeoutMillis: 30_000,
    statement_timeout: config.statementTimeoutSeconds * 1000,
    // The server ends a slow statement. If its packets are lost, only this timeout ends the query.
    query_timeout: config.statementTimeoutSeconds * 1000 + 5000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    idle_in_transaction_session_timeout: config.statementTimeoutSeconds * 1000,
    application_name: 'playgate',
    types: numbers
  })
  pool.on('error', onConnectionError)
  // The pool handles errors only of idle connections. Without this, a connection that breaks during a transaction ends
  // the process.
  pool.on('connect', (client) => {
    client.on('error', onConnectionError)
    endAfterTimeout(client)
  })
  return pool
}
