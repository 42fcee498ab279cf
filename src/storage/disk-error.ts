import { constants } from 'node:os'
import { ApiError } from '../errors.js'

/** Converts a failure of the disk to a 507 or 503. The request is not at fault, and reads still work. */
export function storageError (error: unknown): unknown {
  const { code = '', errno } = error as NodeJS.ErrnoException
  // Node has no name for EDQUOT.
  if (code === 'ENOSPC' || errno === -constants.errno.EDQUOT) return new ApiError('storage_full', { cause: error })
  if (['EIO', 'EROFS', 'EACCES', 'EPERM', 'ENOENT', 'EMFILE', 'ENFILE'].includes(code)) {
    return new ApiError('storage_unavailable', { cause: error, headers: { 'retry-after': '30' } })
  }
  return error
}

export function undefinedIfMissing (error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
