import type { Kysely, Transaction } from 'kysely'
import type { Readable } from 'node:stream'
import type { Attach } from '../database/attach.js'
import { addToCounters } from '../database/counters.js'
import { findViewer } from '../accounts/account-store.js'
import { checkPublisher } from '../accounts/publisher.js'
import { advisoryLock, isInDoubt } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { FileSink } from '../schemas/form.js'
import type { BlobStore, Draft } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { countMedia, insertMedia } from './media-store.js'
import type { Probed } from './media-formats.js'
import { newFileMedia, newMedia, requireType, type Description, type FileFacts } from './new-media.js'
import type { Prober } from './probe/probe.js'
import type { Quota } from './quota.js'
import type { Rendition } from './rendition.js'
import type { Media, MediaType, ProviderName } from './schema.js'
import { findMediaByContent, insertSharingMedia, type FileContent } from './shared-file-store.js'

/** The size and digest that a client declared before it sent a file. `sha256` is in hex. */
export interface Expected {
  sizeBytes?: number
  sha256?: string
}

interface IntakeOptions {
  db: Kysely<Database>
  blobs: BlobStore
  prober: Prober
  clock: Clock
  quota: Quota
  maxUploadBytes: number
  /** The provider that packages new media. */
  provider: ProviderName
  /** Returns the rendition of a new media; null if the media needs none. */
  newRendition(media: Pick<Media, 'playableEverywhere' | 'protection'>): Rendition | null
  /** Queues the jobs of a new file (packaging, a poster), in the transaction that inserts its media. */
  queue(trx: Transaction<Database>, media: Media): Promise<void>
}

/**
 * Creates all media. Receives, measures, probes and publishes each upload. A file stays a draft until its row is
 * committed. Any earlier failure deletes the file.
 */
export class Intake {
  readonly #options: IntakeOptions

  constructor (options: IntakeOptions) {
    this.#options = options
  }

  /**
   * Streams an upload into a draft, within the owner's quota. Without `ownerId`, only {@link publish} checks the quota.
   * **Throws** `upload_too_large` or `quota_exceeded` (before the first byte, if the size is known),
   * `upload_incomplete`, `digest_mismatch`, `storage_unavailable` or `storage_full`. On an error, deletes the draft.
   */
  async receive (source: Readable, ownerId: string | undefined, expected: Expected = {}): Promise<Draft> {
    const { blobs, quota, maxUploadBytes } = this.#options
    const room = ownerId === undefined ? undefined : await quota.begin(ownerId)
    let admitted = 0
    const admit = (bytes: number) => {
      admitted += bytes
      if (admitted > maxUploadBytes) throw uploadTooLarge(maxUploadBytes)
      room?.take(bytes)
    }
    try {
      if (expected.sizeBytes !== undefined) admit(expected.sizeBytes)
      const draft = await blobs.receive(source, expected.sizeBytes === undefined ? admit : () => {})
      const mismatch = mismatchOf(draft, expected)
      if (mismatch === undefined) return { ...draft, discard: () => draft.discard().finally(() => room?.release()) }
      await draft.discard()
      throw mismatch
    } catch (error) {
      room?.release()
      throw error
    }
  }

  /** Returns a sink that passes each file of a form to {@link receive}. */
  sinkFor (ownerId: string | undefined): FileSink<Draft> {
    return {
      receive: (source) => this.receive(source, ownerId),
      discard: (draft) => draft.discard(),
      digestOf: (draft) => draft.sha256
    }
  }

  /**
   * Creates a media from a draft, durably. `attach` adds rows in the same transaction. **Throws**
   * `unsupported_media_format`, `media_too_complex`, `media_type_mismatch`, `quota_exceeded`, `overloaded` or
   * `shutting_down`. **Throws** `invalid_token` or `role_required` if the uploader may no longer publish. On an error,
   * deletes the draft and the file.
   */
  async publish (draft: Draft, description: Description, attach?: Attach<Media>): Promise<Media> {
    const { blobs, quota, queue } = this.#options
    let blobName: string | undefined
    try {
      const probed = await this.#probe(draft, description)
      blobName = await draft.publish()
      const { sizeBytes, sha256 } = draft
      const file = { ...probed, blobName, sizeBytes, sha256 }
      const media = this.#newFileMedia(description, file)
      await this.#insert(description.uploaderId, media, async (trx) => {
        await insertMedia(trx, media)
        await queue(trx, media)
        await attach?.(trx, media)
      })
      if (draft.isReserved !== true) quota.stored(media.ownerId, draft.sizeBytes)
      await blobs.markCommitted(blobName)
      return media
    } catch (error) {
      // If the outcome of the commit is unknown, the file stays. The sweep decides later.
      if (blobName !== undefined && !isInDoubt(error)) await blobs.remove(blobName).catch(() => {})
      throw error
    } finally {
      await draft.discard()
    }
  }

  /**
   * Creates a media with an external URL, which is never fetched. `attach` adds rows in the same transaction.
   * **Throws** `invalid_token`, `role_required`.
   */
  async link (
    description: Description & { type: MediaType },
    fileUrl: string,
    attach?: Attach<Media>
  ): Promise<Media> {
    const media = { ...newMedia(description, description.type, this.#options.clock.now()), fileUrl }
    await this.#insert(description.uploaderId, media, async (trx) => {
      await insertMedia(trx, media)
      await attach?.(trx, media)
    })
    return media
  }

  /** Returns the newest media of an owner that has a file with this content. */
  find (ownerId: string, content: FileContent): Promise<Media | undefined> {
    return findMediaByContent(this.#options.db, ownerId, content)
  }

  /**
   * Creates a media from a file of its owner, which both media share. Returns undefined if the owner has no such file.
   * `attach` adds rows in the same transaction. **Throws** `media_type_mismatch`, `quota_exceeded`, `invalid_token`,
   * `role_required`.
   */
  async reuse (description: Description, content: FileContent, attach?: Attach<Media>): Promise<Media | undefined> {
    const { quota, queue } = this.#options
    const known = await this.find(description.ownerId, content)
    if (known === undefined) return undefined
    requireType(description.type, known.type)
    const media = this.#newFileMedia(description, known)
    await this.#insert(description.uploaderId, media, async (trx) => {
      if (!(await insertSharingMedia(trx, media))) throw new ApiError('not_found', { detail: 'The file was deleted.' })
      await queue(trx, media)
      await attach?.(trx, media)
    })
    quota.stored(media.ownerId, content.sizeBytes)
    return media
  }

  #newFileMedia (description: Description, file: FileFacts): Media {
    const { clock, provider, newRendition } = this.#options
    const media = newFileMedia(description, file, { provider, createdAt: clock.now() })
    return { ...media, rendition: newRendition(media) }
  }

  async #probe (draft: Draft, { type, ownerId }: Description): Promise<Probed> {
    if (draft.sizeBytes === 0) throw new ApiError('unsupported_media_format', { detail: 'The file is empty.' })
    const probed = await this.#options.prober.probe(draft.path, ownerId)
    if (probed === null) throw new ApiError('unsupported_media_format')
    requireType(type, probed.type)
    return probed
  }

  /** Inserts a media by `insert`, if its uploader may publish and its file fits the quota. */
  async #insert (
    uploaderId: string,
    media: Media,
    insert: (trx: Transaction<Database>) => Promise<void>
  ): Promise<void> {
    const { db, quota } = this.#options
    await db.transaction().execute(async (trx) => {
      if (media.sizeBytes !== null) await advisoryLock(trx, `quota of ${media.ownerId}`)
      checkPublisher(await findViewer(trx, uploaderId))
      await insert(trx)
      // The insert may have ended a reservation of the bytes.
      if (media.sizeBytes !== null) await quota.require(trx, media.ownerId, media.sizeBytes)
      await addToCounters(trx, countMedia(new Map(), [media], 1))
    })
  }
}

/** Returns the error of a file over the size limit. */
export function uploadTooLarge (maxUploadBytes: number): ApiError {
  return new ApiError('upload_too_large', {
    detail: `A file may have at most ${maxUploadBytes} bytes.`,
    extra: { max_bytes: maxUploadBytes }
  })
}

/** Returns the error if a draft differs from the size or digest that the client declared. */
function mismatchOf ({ sizeBytes, sha256 }: Draft, expected: Expected): ApiError | undefined {
  const options = { extra: { received_bytes: sizeBytes, received_sha256: sha256 } }
  if (expected.sizeBytes !== undefined && sizeBytes !== expected.sizeBytes) {
    return new ApiError('upload_incomplete', options)
  }
  if (expected.sha256 !== undefined && sha256 !== expected.sha256) return new ApiError('digest_mismatch', options)
  return undefined
}
