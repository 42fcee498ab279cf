import type { Kysely } from 'kysely'
import type { Accounts } from '../accounts/accounts.js'
import { checkPublisher } from '../accounts/publisher.js'
import type { Courses } from '../courses/courses.js'
import type { LectureWithMedia, Lectures } from '../courses/lectures.js'
import type { Attach } from '../database/attach.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Intake } from '../media/uploads.js'
import type { Media } from '../media/schema.js'
import type { BlobStore, Draft } from '../storage/blob-store.js'
import { DAY, type Clock } from '../time.js'
import type { Upload } from './schema.js'
import type { Hold } from './upload-holds.js'
import { closeUpload, findUpload } from './upload-store.js'

export interface FinisherOptions {
  db: Kysely<Database>
  blobs: BlobStore
  accounts: Accounts
  courses: Courses
  intake: Intake
  lectures: Lectures
  clock: Clock
}

/** A result is kept this long for clients that did not get it. */
const RESULT_KEPT_MS = DAY
/** The file, or its course, is at fault. Any other failure may end, for example a full disk or a disabled account. */
const FINAL_STATUSES = new Set([404, 409, 413, 415, 422])

/** Makes a media or a lecture from an upload whose bytes have arrived. */
export class UploadFinisher {
  readonly #options: FinisherOptions

  constructor (options: FinisherOptions) {
    this.#options = options
  }

  /**
   * Publishes a complete upload once: its result is stored in the transaction that inserts the media, and only for the
   * holder. **Throws** the errors of {@link Intake.publish} and {@link Lectures.add}, `digest_mismatch` and
   * `upload_locked`. If the file is at fault, stores the error and removes the draft. After any other error, the upload
   * stays complete, and can be finished later.
   */
  async finish (upload: Upload, hold: Hold): Promise<Upload> {
    const { db, blobs } = this.#options
    hold.persist()
    try {
      await this.#publish(upload, hold)
    } catch (error) {
      if (isFinal(error)) await this.#fail(upload, hold, error)
      throw error
    }
    await blobs.removeDraft(upload.draftName)
    const finished = await findUpload(db, upload.id)
    if (finished === undefined) throw new ApiError('not_found')
    return finished
  }

  async #publish (upload: Upload, hold: Hold): Promise<void> {
    const { accounts, blobs, courses, intake, lectures } = this.#options
    const { description, ownerId, uploaderId } = upload
    const viewer = await accounts.viewer(uploaderId)
    checkPublisher(viewer)
    const draft = await this.#draftOf(upload, blobs)
    const attach: Attach<Media> = async (trx, media) => await this.#close(trx, hold, { mediaId: media.id })
    if (description.kind === 'media') {
      const { title, type, visibility, protection } = description
      await intake.publish(draft, { title, type, visibility, protection, ownerId, uploaderId }, attach)
    } else {
      const { title, description: text, category, subcategory, course_id: courseId } = description
      const attachLecture: Attach<LectureWithMedia> = async (trx, { media }) => await attach(trx, media)
      const courseFor = () => courses.changeable(viewer!, courseId)
      const origin = { uploaderId, courseFor, attach: attachLecture }
      await lectures.add(draft, { title, description: text, category, subcategory }, origin)
    }
  }

  async #draftOf ({ draftName, sizeBytes, description: { sha256 } }: Upload, blobs: BlobStore): Promise<Draft> {
    const draft = await blobs.completeDraft(draftName)
    if (draft.sizeBytes !== sizeBytes) throw new ApiError('storage_unavailable')
    if (sha256 !== undefined && draft.sha256 !== sha256) {
      throw new ApiError('digest_mismatch', {
        detail: 'The received file does not match the sha256 of Upload-Metadata.',
        extra: { received_bytes: sizeBytes, received_sha256: draft.sha256 }
      })
    }
    return { ...draft, isReserved: true }
  }

  async #fail (upload: Upload, hold: Hold, { code, message: detail }: ApiError): Promise<void> {
    await this.#close(this.#options.db, hold, { error: { code, detail } })
    await this.#options.blobs.removeDraft(upload.draftName)
  }

  /** **Throws** `upload_locked` if another request became the holder. */
  async #close (
    db: Kysely<Database>,
    hold: Hold,
    result: Pick<Parameters<typeof closeUpload>[2], 'mediaId' | 'error'>
  ): Promise<void> {
    const now = this.#options.clock.now()
    const isClosed = await closeUpload(db, hold, { ...result, updatedAt: now, expiresAt: now + RESULT_KEPT_MS })
    if (!isClosed) throw new ApiError('upload_locked')
  }
}

function isFinal (error: unknown): error is ApiError {
  return error instanceof ApiError && (FINAL_STATUSES.has(error.statusCode) || error.code === 'not_owner')
}
