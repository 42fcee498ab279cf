import type { Kysely, Transaction } from 'kysely'
import { randomUUID } from 'node:crypto'
import type { Viewer } from '../accounts/schema.js'
import type { Courses } from '../courses/courses.js'
import type { Lectures } from '../courses/lectures.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Media } from '../media/schema.js'
import type { Intake } from '../media/uploads.js'
import type { Draft } from '../storage/blob-store.js'
import { SECOND, type Clock } from '../time.js'
import { claimGrant, updateHeldGrant } from './grant-store.js'
import type { UploadGrant } from './schema.js'

/** If a process dies, the grant may be used again after this time. */
const LEASE_MS = 15 * SECOND
const RENEW_EVERY_MS = 5 * SECOND

interface Options {
  db: Kysely<Database>
  courses: Courses
  lectures: Lectures
  intake: Intake
  clock: Clock
}

/** An upload by the holder of a grant: only one at a time, and only one becomes a media. */
export class GrantedUploads {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Receives the file of a grant by `receive`, and publishes it for the maker of the grant. `onRevoked` ends the
   * transfer when the grant is revoked. **Throws** `upload_grant_in_use`, `upload_grant_revoked`, and the errors of
   * {@link Intake.publish}.
   */
  async run (
    { grant, maker }: { grant: UploadGrant; maker: Viewer },
    receive: () => Promise<Draft>,
    onRevoked: (error: ApiError) => void
  ): Promise<Media> {
    const { db, clock } = this.#options
    const holder = randomUUID()
    const lease = () => ({ leaseUntil: clock.now() + LEASE_MS })
    if (!(await claimGrant(db, grant.id, { holder, now: clock.now(), ...lease() }))) {
      throw new ApiError('upload_grant_in_use', { headers: { 'retry-after': '5' } })
    }
    const renewal = setInterval(() => {
      updateHeldGrant(db, grant.id, holder, lease()).then(
        (isHeld) => isHeld || onRevoked(new ApiError('upload_grant_revoked')),
        () => {}
      )
    }, RENEW_EVERY_MS).unref()
    try {
      const draft = { ...(await receive()), isReserved: true }
      return await this.#publish(draft, { grant, maker, holder })
    } catch (error) {
      // A failed upload leaves the grant unused. If the database fails here, the lease ends by itself.
      await updateHeldGrant(db, grant.id, holder, { leaseUntil: 0 }).catch(() => {})
      throw isOfMaker(error) ? new ApiError('upload_grant_revoked', { cause: error }) : error
    } finally {
      clearInterval(renewal)
    }
  }

  async #publish (
    draft: Draft,
    { grant, maker, holder }: { grant: UploadGrant; maker: Viewer; holder: string }
  ): Promise<Media> {
    const { courses, lectures, intake } = this.#options
    const { id, ownerId, description } = grant
    const uploaderId = maker.id
    // In the transaction of the media, so that a grant makes one media, and its reservation ends with it.
    const use = async (trx: Transaction<Database>, { id: mediaId }: Media) => {
      if (!(await updateHeldGrant(trx, id, holder, { mediaId }))) throw new ApiError('upload_grant_revoked')
    }
    if (description.kind === 'media') return await intake.publish(draft, { ...description, ownerId, uploaderId }, use)
    const { kind: _kind, course_id: courseId, ...text } = description
    const { media } = await lectures.add(draft, text, {
      uploaderId,
      courseFor: () => courses.changeable(maker, courseId),
      attach: (trx, added) => use(trx, added.media)
    })
    return media
  }
}

/** Returns whether an error is about the account of the maker, which the holder must not learn. */
function isOfMaker (error: unknown): boolean {
  return error instanceof ApiError && ['invalid_token', 'role_required', 'not_owner'].includes(error.code)
}
