import { ApiError } from '../errors.js'
import type { Viewer } from './schema.js'

/**
 * **Throws** `invalid_token` for an account that is gone or disabled (undefined), `role_required` for one that may not
 * publish.
 */
export function checkPublisher (viewer: Viewer | undefined): void {
  if (viewer === undefined) throw new ApiError('invalid_token')
  if (viewer.role === 'student') {
    throw new ApiError('role_required', { detail: 'This is for admin and instructor accounts.' })
  }
}
