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
    return `something listens on port ${port} of ${address} already: stop it, or set PORT`
  }
  if (syscall === 'listen') return `cannot listen on ${address} (${code}): check HOST and PORT`
  // Class 28: an invalid role or password. Class 3D: the database does not exist (Postgres, appendix A).
  if (isUnavailable(error) || /^(28|3D)...$|^SQLITE_/.test(code)) {
    return `the database does not answer (${message || code}): check DATABASE_URL, and see: playgate doctor`
  }
  if (path !== undefined && /^E[A-Z]+$/.test(code)) {
    return `${path} cannot be used (${code}): check DATA_DIR and UPLOAD_DIR, and who may write there`
  }
  return undefined
}
