import { ApiError } from '../errors.js'
import type { Viewer } from './schema.js'

/**
 * Checks that an account may publish. **Throws** `invalid_token` for a deleted or disabled account (undefined), and
 * `role_required` for a student.
 */
export function checkPublisher (viewer: Viewer | undefined): void {
  if (viewer === undefined) throw new ApiError('invalid_token')
  if (viewer.role === 'student') {
    throw new ApiError('role_required', { detail: 'This is for admin and instructor accounts.' })
  }
}
