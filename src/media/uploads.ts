import type { Kysely, Transaction } from 'kysely'
import type { Readable } from 'node:stream'
import { v7 as uuidv7 } from 'uuid'
import { addToCounters } from '../database/counters.js'
import { findViewer } from '../accounts/account-store.js'
import { checkPublisher } from '../accounts/publisher.js'
import { isInDoubt, lockName } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { BlobStore, Draft } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { countMedia, insertMedia } from './media-store.js'
import type { Prober } from './probe/probe.js'
import type { Quota } from './quota.js'
import type { Media, MediaType, Protection, ProviderName, Visibility } from './schema.js'

/** What a media is to be called and who owns it; `type` undefined takes whatever the file is. */
export interface Description {
  title: string
  type?: MediaType
  visibility?: Visibility
  protection?: Protection
  ownerId: string
  /** The account that sent it: the owner, or an administrator. */
  uploaderId: string
}

/** What a sender said of a file beforehand; `sha256` in hex. */
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
  /** Who makes the encrypted streams of new media. */
  provider: ProviderName
  /**
   * Queues what is to be made of a new file later on (an encrypted stream, a picture), in the transaction that makes
   * its media.
   */
  queue(trx: Transaction<Database>, media: Media): Promise<void>
}

export type Intake = ReturnType<typeof createIntake>

/**
 * The one way in for media: receive → measure → probe → publish. A draft is on disk until its row is committed;
 * whatever goes wrong on the way removes it.
 */
export function createIntake ({ db, blobs, prober, clock, quota, maxUploadBytes, provider, queue }: IntakeOptions) {
  function describe (description: Description, type: MediaType): Media {
    const createdAt = clock.now()
    return {
      id: uuidv7(),
      ownerId: description.ownerId,
      title: description.title.trim(),
      type,
      visibility: description.visibility ?? 'private',
      status: 'ready',
      fileUrl: null,
      blobName: null,
      contentType: null,
      sizeBytes: null,
      sha256: null,
      durationMs: null,
      width: null,
      height: null,
      codecs: [],
      generation: 1,
      protection: 'none',
      progress: 100,
      error: null,
      packaged: null,
      posterBlob: null,
      provider: 'local',
      mux: null,
      createdAt,
      updatedAt: createdAt
    }
  }

  function uploadTooLarge (): ApiError {
    return new ApiError('upload_too_large', {
      detail: `A file may have at most ${maxUploadBytes} bytes.`,
      extra: { max_bytes: maxUploadBytes }
    })
  }

  return {
    /**
     * Writes an upload down as a draft, for an owner with room left; where the owner is not known yet, publishing asks.
     * What its sender said of it beforehand is compared with it. Throws `upload_too_large` or `quota_exceeded` (before
     * the first byte, where the size is known), `upload_incomplete`, `digest_mismatch`, `storage_unavailable` or
     * `storage_full`; nothing is left of it then.
     */
    async receive (source: Readable, ownerId: string | undefined, expected: Expected = {}): Promise<Draft> {
      const room = ownerId === undefined ? undefined : await quota.begin(ownerId)
      let admitted = 0
      const admit = (bytes: number) => {
        admitted += bytes
        if (admitted > maxUploadBytes) throw uploadTooLarge()
        room?.take(bytes)
      }
      try {
        if (expected.sizeBytes !== undefined) admit(expected.sizeBytes)
        const draft = await blobs.receive(source, expected.sizeBytes === undefined ? admit : () => {})
        const wrong =
          expected.sizeBytes !== undefined && draft.sizeBytes !== expected.sizeBytes
            ? 'upload_incomplete'
            : expected.sha256 !== undefined && draft.sha256 !== expected.sha256
              ? 'digest_mismatch'
              : undefined
        if (wrong === undefined) return { ...draft, discard: () => draft.discard().finally(() => room?.release()) }
        await draft.discard()
        throw new ApiError(wrong, { extra: { received_bytes: draft.sizeBytes, received_sha256: draft.sha256 } })
      } catch (error) {
        room?.release()
        throw error
      }
    },

    /**
     * Makes a media of a draft, durably. `attach` adds to its transaction what belongs with it. Throws
     * `unsupported_media_format`, `media_too_complex`, `media_type_mismatch`, `quota_exceeded`, `overloaded` or
     * `shutting_down`, or, for an uploader who may not publish any more, `invalid_token` or `role_required`; draft and
     * file are gone then.
     */
    async publish (
      draft: Draft,
      description: Description,
      attach?: (trx: Transaction<Database>, media: Media) => Promise<void>
    ): Promise<Media> {
      let blobName: string | undefined
      try {
        if (draft.sizeBytes === 0) throw new ApiError('unsupported_media_format', { detail: 'The file is empty.' })
        const probed = await prober.probe(draft.path, description.ownerId)
        if (probed === null) throw new ApiError('unsupported_media_format')
        if (description.type !== undefined && probed.type !== description.type) {
          throw new ApiError('media_type_mismatch', {
            detail: `The file is ${probed.type}, but was sent as ${description.type}.`,
            errors: [{ path: 'type', message: `the file is ${probed.type}` }]
          })
        }
        blobName = await draft.publish()
        const { contentType, codecs, durationMs, width, height } = probed
        const media: Media = {
          ...describe(description, probed.type),
          blobName,
          sizeBytes: draft.sizeBytes,
          sha256: draft.sha256,
          contentType,
          codecs,
          durationMs,
          width,
          height,
          ...(description.protection === 'encrypted' && {
            protection: 'encrypted',
            provider,
            status: 'processing',
            progress: 0
          })
        }
        await db.transaction().execute(async (trx) => {
          await lockName(trx, `quota of ${media.ownerId}`)
          checkPublisher(await findViewer(trx, description.uploaderId))
          await quota.require(trx, media.ownerId, draft.sizeBytes)
          await insertMedia(trx, media)
          await queue(trx, media)
          await attach?.(trx, media)
          await addToCounters(trx, countMedia(new Map(), [media], 1))
        })
        quota.stored(media.ownerId, draft.sizeBytes)
        await blobs.markCommitted(blobName)
        return media
      } catch (error) {
        // Where the commit may have happened, or may yet, the sweep decides.
        if (blobName !== undefined && !isInDoubt(error)) await blobs.remove(blobName).catch(() => {})
        throw error
      } finally {
        await draft.discard()
      }
    },

    /** Makes a media that lives elsewhere; the address is never fetched. */
    async link (description: Description & { type: MediaType }, fileUrl: string): Promise<Media> {
      const media = { ...describe(description, description.type), fileUrl }
      await db.transaction().execute(async (trx) => {
        checkPublisher(await findViewer(trx, description.uploaderId))
        await insertMedia(trx, media)
        await addToCounters(trx, countMedia(new Map(), [media], 1))
      })
      return media
    }
  }
}
