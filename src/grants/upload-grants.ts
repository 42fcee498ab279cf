import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { findViewer } from '../accounts/account-store.js'
import { checkPublisher } from '../accounts/publisher.js'
import type { Viewer } from '../accounts/schema.js'
import type { Courses } from '../courses/courses.js'
import type { Attach } from '../database/attach.js'
import { advisoryLock } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Quota } from '../media/quota.js'
import { uploadTooLarge } from '../media/uploads.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import type { Keyring } from '../secrets/keyring.js'
import { DAY, SECOND, type Clock } from '../time.js'
import { deleteOldGrants, findGrant, findReserved, insertGrant, listGrants, updateRevoked } from './grant-store.js'
import { signGrant, verifyGrant } from './grant-token.js'
import type { GrantDescription, UploadGrant } from './schema.js'

/** Each open grant is read when the quota of its owner is checked. */
const MAX_OPEN_GRANTS = 1000
/** The list shows ended grants for a month. */
const KEEP_MS = 30 * DAY

interface Options {
  db: Kysely<Database>
  courses: Courses
  quota: Quota
  clock: Clock
  keys: Keyring
  maxUploadBytes: number
}

export interface GrantInput {
  description: GrantDescription
  maxBytes?: number | undefined
  expiresInSeconds: number
  origin?: string | undefined
}

/** Grants to upload one file without an account. The maker of a grant is responsible for the upload. */
export class UploadGrants {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Creates a grant, and reserves its size in the quota of the media's owner. `attach` adds rows in the same
   * transaction. **Throws** `upload_too_large`, `quota_exceeded`, `too_many_upload_grants`, `invalid_token`,
   * `role_required`, and for a lecture `not_found` or `not_owner`.
   */
  async create (viewer: Viewer, input: GrantInput, attach: Attach<UploadGrant>): Promise<void> {
    const { db, courses, quota, clock, maxUploadBytes } = this.#options
    const { description, maxBytes = maxUploadBytes, expiresInSeconds, origin = null } = input
    if (maxBytes > maxUploadBytes) throw uploadTooLarge(maxUploadBytes)
    const isLecture = description.kind === 'lecture'
    const ownerId = isLecture ? (await courses.changeable(viewer, description.course_id)).ownerId : viewer.id
    const createdAt = clock.now()
    // A token has whole seconds.
    const expiresAt = (Math.floor(createdAt / SECOND) + expiresInSeconds) * SECOND
    const ended = { revokedAt: null, leaseUntil: 0, mediaId: null }
    const grant = {
      id: uuidv7(),
      accountId: viewer.id,
      ownerId,
      description,
      maxBytes,
      origin,
      createdAt,
      expiresAt,
      ...ended
    }
    await db.transaction().execute(async (trx) => {
      await advisoryLock(trx, `quota of ${ownerId}`)
      checkPublisher(await findViewer(trx, viewer.id))
      const { grants } = await findReserved(trx, ownerId, createdAt)
      if (grants >= MAX_OPEN_GRANTS) throw new ApiError('too_many_upload_grants')
      await quota.requireReservation(trx, ownerId, maxBytes)
      await insertGrant(trx, grant)
      await attach(trx, grant)
    })
  }

  /** Returns the token by which a grant is used. */
  tokenOf ({ id, expiresAt }: UploadGrant): string {
    return signGrant({ grantId: id, expiresAt: expiresAt / SECOND }, this.#options.keys)
  }

  /** Finds a grant of the viewer; administrators find all. **Throws** `not_found`. */
  async find (viewer: Viewer, id: string): Promise<UploadGrant> {
    const grant = await findGrant(this.#options.db, id)
    const isVisible = grant !== undefined && (grant.accountId === viewer.id || viewer.role === 'admin')
    if (!isVisible) throw new ApiError('not_found')
    return grant
  }

  /** Lists the grants of an account, newest first. */
  async list (accountId: string, page: PageQuery): Promise<Page<UploadGrant>> {
    const { items, total } = await listGrants(this.#options.db, accountId, page)
    return pageOf(items, total, page)
  }

  /** Revokes a grant, and ends its upload. A media that it made stays. **Throws** `not_found`. */
  async revoke (viewer: Viewer, id: string): Promise<void> {
    const { db, clock } = this.#options
    await this.find(viewer, id)
    await updateRevoked(db, id, clock.now())
  }

  /**
   * Verifies a token, and returns its grant and the account that made it. **Throws** `upload_grant_invalid`,
   * `upload_grant_expired`, `upload_grant_revoked` (also if its maker may no longer publish), or `upload_grant_used`.
   */
  async admit (token: string): Promise<{ grant: UploadGrant; maker: Viewer }> {
    const grant = await this.#verified(token)
    if (grant.mediaId !== null) throw new ApiError('upload_grant_used', { extra: { media_id: grant.mediaId } })
    if (grant.revokedAt !== null) throw new ApiError('upload_grant_revoked')
    const maker = await findViewer(this.#options.db, grant.accountId)
    // The holder of a grant must not learn the state of its maker's account.
    if (maker === undefined || maker.role === 'student') throw new ApiError('upload_grant_revoked')
    return { grant, maker }
  }

  /** Returns the origin of a grant, for CORS; null without one. **Throws** as {@link admit}, for a bad token. */
  async originOf (token: string): Promise<string | null> {
    return (await this.#verified(token)).origin
  }

  /** Deletes the grants that ended a month ago. */
  async prune (now: number): Promise<void> {
    await deleteOldGrants(this.#options.db, now - KEEP_MS)
  }

  async #verified (token: string): Promise<UploadGrant> {
    const { db, clock, keys } = this.#options
    const verdict = verifyGrant(token, keys, clock.now())
    if (!verdict.ok) throw new ApiError(`upload_grant_${verdict.reason}`)
    const grant = await findGrant(db, verdict.facts.grantId)
    if (grant === undefined) throw new ApiError('upload_grant_revoked')
    return grant
  }
}
