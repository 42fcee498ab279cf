import { v7 as uuidv7 } from 'uuid'
import { ApiError } from '../errors.js'
import type { Media, MediaType, Protection, ProviderName, Visibility } from './schema.js'

/** The title, owner and settings of a new media. Without `type`, the content of the file decides the type. */
export interface Description {
  title: string
  type?: MediaType
  visibility?: Visibility
  protection?: Protection
  ownerId: string
  /** The account that uploads: the owner, or an administrator. */
  uploaderId: string
}

/** The provider and the time of a new media. */
interface Origin {
  /** The provider that packages new media. */
  provider: ProviderName
  createdAt: number
}

/** Returns a new media without a file. */
export function newMedia (description: Description, type: MediaType, createdAt: number): Media {
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
    tracks: null,
    generation: 1,
    protection: 'none',
    progress: 100,
    error: null,
    packaged: null,
    posterBlob: null,
    provider: 'local',
    mux: null,
    playableEverywhere: null,
    rendition: null,
    createdAt,
    updatedAt: createdAt
  }
}

/** What is known of a file. */
export type FileFacts = Pick<
  Media,
  | 'type'
  | 'blobName'
  | 'sizeBytes'
  | 'sha256'
  | 'contentType'
  | 'codecs'
  | 'tracks'
  | 'durationMs'
  | 'width'
  | 'height'
  | 'playableEverywhere'
>

/** Returns a new media with a file. An encrypted media is not ready until it is packaged. */
export function newFileMedia (description: Description, file: FileFacts, { provider, createdAt }: Origin): Media {
  const { type, blobName, sizeBytes, sha256, contentType, codecs, tracks, durationMs, width, height } = file
  const { playableEverywhere } = file
  return {
    ...newMedia(description, type, createdAt),
    blobName,
    sizeBytes,
    sha256,
    contentType,
    codecs,
    tracks,
    durationMs,
    width,
    height,
    playableEverywhere,
    ...(description.protection === 'encrypted' && {
      protection: 'encrypted',
      provider,
      status: 'processing',
      progress: 0
    })
  }
}

/** **Throws** `media_type_mismatch` if a client declared another type than that of the file. */
export function requireType (declared: MediaType | undefined, type: MediaType): void {
  if (declared === undefined || declared === type) return
  throw new ApiError('media_type_mismatch', {
    detail: `The file is ${type}, but was sent as ${declared}.`,
    errors: [{ path: 'type', message: `the file is ${type}` }]
  })
}
