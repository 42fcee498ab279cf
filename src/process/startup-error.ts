import { isUnavailable } from '../database/dialect.js'
import { StartupError } from '../errors.js'

type SystemError = Error & { code?: string; syscall?: string; path?: string; address?: string; port?: number }

/**
 * Returns one sentence for an error that the operator can fix, with the name of the variable. Returns undefined for any
 * other error.
 */
export function startFailure (error: unknown): string | undefined {
  if (error instanceof StartupError) return error.message
  const { code = '', message, syscall = '', path, address, port } = error as SystemError
  if (syscall === 'listen' && code === 'EADDRINUSE') {
    return `port ${port} on ${address} is already in use: stop the other program, or set PORT`
  }
  if (syscall === 'listen') return `failed to listen on ${address}: ${code}; check HOST and PORT`
  // Class 28: an invalid role or password. Class 3D: the database does not exist (Postgres, appendix A).
  if (isUnavailable(error) || /^(28|3D)...$|^SQLITE_/.test(code)) {
    return `failed to open the database: ${message || code}; run "playgate doctor", or check DATABASE_URL`
  }
  if (path !== undefined && /^E[A-Z]+$/.test(code)) {
    return `failed to use ${path}: ${code}; check its owner and mode, DATA_DIR and UPLOAD_DIR`
  }
  return undefined
}
