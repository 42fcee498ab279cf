import type { Kysely } from 'kysely'
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { v7 as uuidv7 } from 'uuid'
import { findViewer } from '../accounts/account-store.js'
import { requireScope } from '../accounts/api-keys.js'
import { checkPublisher } from '../accounts/publisher.js'
import type { Viewer } from '../accounts/schema.js'
import type { Courses } from '../courses/courses.js'
import { advisoryLock } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Quota } from '../media/quota.js'
import { uploadTooLarge } from '../media/uploads.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import type { BlobStore } from '../storage/blob-store.js'
import { HOUR, MINUTE, type Clock } from '../time.js'
import { checkPart, receivePart, type Part } from './part.js'
import { isComplete, type Upload, type UploadDescription } from './schema.js'
import type { UploadFinisher } from './upload-finisher.js'
import type { Hold, UploadHolds } from './upload-holds.js'
import {
  closeUpload,
  countOpenUploads,
  deleteExpiredUploads,
  deleteUpload,
  findUpload,
  insertUpload,
  listOpenUploads,
  listUnfinishedUploads,
  updateOffset
} from './upload-store.js'

interface Options {
  db: Kysely<Database>
  blobs: BlobStore
  quota: Quota
  courses: Courses
  holds: UploadHolds
  finisher: UploadFinisher
  clock: Clock
  maxUploadBytes: number
  expiresHours: number
}

/** A new upload. `metadata` is the description in the client's form, which {@link Upload} returns unchanged. */
export interface UploadInput {
  sizeBytes: number
  description: UploadDescription
  metadata?: string
}

/** Each open upload is a row and a draft, and a client needs few at once. */
const MAX_OPEN_UPLOADS = 100
/** A request that finishes an upload needs less than this, or its process died. */
const UNFINISHED_AFTER_MS = MINUTE
const BATCH = 100

/**
 * Uploads that several requests send, one after another. The bytes go to a draft, and a row stores how many of them are
 * on disk. The protocol of the requests is not known here: see routes/tus.ts.
 */
export class ResumableUploads {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /** The maximum size of a file. */
  get maxBytes (): number {
    return this.#options.maxUploadBytes
  }

  /**
   * Creates an upload, and reserves its size in the quota of the owner of the media. **Throws** `upload_too_large`,
   * `unsupported_media_format` for an empty file, `quota_exceeded`, `too_many_open_uploads`, `invalid_token`,
   * `role_required`, and for a lecture `scope_required`, `not_found` or `not_owner`.
   */
  async create (viewer: Viewer, { sizeBytes, description, metadata }: UploadInput): Promise<Upload> {
    const { db, courses, quota, clock, maxUploadBytes } = this.#options
    if (sizeBytes > maxUploadBytes) throw uploadTooLarge(maxUploadBytes)
    if (sizeBytes === 0) throw new ApiError('unsupported_media_format', { detail: 'The file is empty.' })
    if (description.kind === 'lecture') requireScope(viewer, 'courses:write')
    const ownerId =
      description.kind === 'lecture' ? (await courses.changeable(viewer, description.course_id)).ownerId : viewer.id
    return await db.transaction().execute(async (trx) => {
      await advisoryLock(trx, `open uploads of ${viewer.id}`)
      await advisoryLock(trx, `quota of ${ownerId}`)
      checkPublisher(await findViewer(trx, viewer.id))
      if ((await countOpenUploads(trx, viewer.id)) >= MAX_OPEN_UPLOADS) throw new ApiError('too_many_open_uploads')
      await quota.requireReservation(trx, ownerId, sizeBytes)
      return await insertUpload(trx, {
        id: uuidv7(),
        ownerId,
        uploaderId: viewer.id,
        draftName: randomUUID(),
        description,
        metadata: metadata ?? null,
        sizeBytes,
        createdAt: clock.now(),
        expiresAt: this.#expiry()
      })
    })
  }

  /** Lists the open uploads of an account, newest first. Ends no request. */
  async list (uploaderId: string, page: PageQuery): Promise<Page<Upload>> {
    const { items, total } = await listOpenUploads(this.#options.db, uploaderId, page)
    return pageOf(items, total, page)
  }

  /**
   * Receives one part. Ends an older request for the upload. Returns the upload with its new offset; if that is its
   * size, call {@link settle}. **Throws** `upload_offset_mismatch`, `payload_too_large`, `upload_parts_too_small`, the
   * errors of {@link settle}, and of {@link receivePart}.
   */
  async append (viewer: Viewer, id: string, part: Part, source: Readable): Promise<Upload> {
    await this.#findOwn(viewer, id)
    const { hold, upload } = await this.#options.holds.acquire(id)
    try {
      this.#requireOpen(upload)
      checkPart(upload, part)
      if (isComplete(upload)) return upload
      return await this.#receive(upload, hold, part, source)
    } finally {
      await hold.release()
    }
  }

  /**
   * Returns an upload whose offset is final until its next part: ends an older request, and publishes a complete
   * upload. **Throws** `not_found`, `upload_expired`, `upload_locked`, and the errors of {@link UploadFinisher.finish};
   * after a failure that is final, with status 410.
   */
  async settle (viewer: Viewer, id: string): Promise<Upload> {
    const upload = await this.#findOwn(viewer, id)
    if (!upload.isOpen || (upload.holder === null && !isComplete(upload))) return this.#requireLive(upload)
    return await this.#finish(id)
  }

  /** Deletes an upload with its draft, and ends its current request. Its media stays. **Throws** `not_found`. */
  async abandon (viewer: Viewer, id: string): Promise<void> {
    const { db, blobs, holds } = this.#options
    await this.#findOwn(viewer, id)
    const { hold, upload } = await holds.acquire(id)
    try {
      if (await deleteUpload(db, hold)) await blobs.removeDraft(upload.draftName)
    } finally {
      await hold.release()
    }
  }

  /** Publishes complete uploads whose process died, or failed for a reason that may have ended. */
  async finishAll (now: number, signal: AbortSignal): Promise<void> {
    for (const id of await listUnfinishedUploads(this.#options.db, now - UNFINISHED_AFTER_MS, BATCH)) {
      if (signal.aborted) return
      await this.#finish(id).catch((error: unknown) => {
        if (!(error instanceof ApiError)) throw error
      })
    }
  }

  /** Deletes expired uploads with their drafts. */
  async removeExpired (now: number, signal: AbortSignal): Promise<void> {
    const { db, blobs } = this.#options
    for (let left = BATCH; left === BATCH && !signal.aborted;) {
      const names = await deleteExpiredUploads(db, now, BATCH)
      for (const name of names) await blobs.removeDraft(name)
      left = names.length
    }
  }

  async #receive (upload: Upload, hold: Hold, { checksum }: Part, source: Readable): Promise<Upload> {
    const { db, blobs, clock } = this.#options
    const { draftName, sizeBytes } = upload
    const writer = await blobs.openDraft(draftName, upload.offsetBytes)
    if (writer === undefined) throw await this.#lost(hold)
    let current = upload
    const store = async (offsetBytes: number) => {
      current = { ...current, offsetBytes, updatedAt: clock.now(), expiresAt: this.#expiry() }
      if (!(await updateOffset(db, hold, current))) throw new ApiError('upload_locked')
    }
    try {
      await receivePart(source, { hold, writer, maxBytes: sizeBytes - upload.offsetBytes, checksum, store })
      return current
    } finally {
      await writer.close()
    }
  }

  /** Closes an upload whose draft is shorter than its row says, as after a restored backup. Returns the error. */
  async #lost (hold: Hold): Promise<ApiError> {
    const error = new ApiError('upload_expired')
    const result = { error: { code: error.code, detail: error.message } }
    const updatedAt = this.#options.clock.now()
    await closeUpload(this.#options.db, hold, { ...result, updatedAt, expiresAt: this.#expiry() })
    return error
  }

  async #finish (id: string): Promise<Upload> {
    const { hold, upload } = await this.#options.holds.acquire(id)
    try {
      if (isComplete(this.#requireLive(upload))) return await this.#options.finisher.finish(upload, hold)
      return upload
    } finally {
      await hold.release()
    }
  }

  async #findOwn (viewer: Viewer, id: string): Promise<Upload> {
    const upload = await findUpload(this.#options.db, id)
    if (upload?.uploaderId !== viewer.id) throw new ApiError('not_found')
    return upload
  }

  #requireOpen (upload: Upload): void {
    if (!this.#requireLive(upload).isOpen) {
      throw new ApiError('upload_offset_mismatch', { detail: 'This upload is finished.' })
    }
  }

  /** **Throws** `upload_expired`, or the error of an upload that failed, with status 410. */
  #requireLive (upload: Upload): Upload {
    const { error, expiresAt } = upload
    // A response to HEAD has no body, so a header has the code too.
    if (error !== null) {
      const headers = { 'upload-error': error.code }
      throw new ApiError(error.code, { detail: error.detail, statusCode: 410, headers })
    }
    if (expiresAt <= this.#options.clock.now()) throw new ApiError('upload_expired')
    return upload
  }

  #expiry (): number {
    return this.#options.clock.now() + this.#options.expiresHours * HOUR
  }
}
