import { Type, type Static } from '@sinclair/typebox'
import { line, moment, nullable, uuid, webAddress } from '../schemas/fields.js'
import { isoTime } from '../time.js'

export type MediaType = 'video' | 'audio'
export type Visibility = 'private' | 'public'
export type Protection = 'none' | 'encrypted'
export type ProviderName = 'local' | 'mux'

/**
 * What Mux calls a media, as far as it is known: the upload, then the asset, then, once it can be played, the playback
 * id.
 */
export interface MuxNames {
  uploadId: string | null
  assetId: string | null
  playbackId: string | null
  policy: 'signed' | 'drm'
}

/** The blob of an encrypted stream's segments, and their key, sealed. */
export interface Package {
  blobName: string
  contentKey: string
}

/** A media as the rules see it. */
export interface Media {
  id: string
  ownerId: string
  title: string
  type: MediaType
  visibility: Visibility
  status: 'ready' | 'processing' | 'failed'
  /** Where it lives if it was made by JSON; null for an uploaded one. */
  fileUrl: string | null
  blobName: string | null
  contentType: string | null
  sizeBytes: number | null
  /** Hex. */
  sha256: string | null
  durationMs: number | null
  width: number | null
  height: number | null
  codecs: string[]
  generation: number
  protection: Protection
  /** Percent of the packaging that is done. */
  progress: number
  /** Why it failed. */
  error: { code: string; message: string } | null
  /** The blob of a JPEG picture of it. */
  posterBlob: string | null
  /** The encrypted segments, in one blob; null while there are none. */
  packaged: Package | null
  /** Who makes and serves its encrypted stream, for as long as it has one. */
  provider: ProviderName
  /** Null until something of it is at Mux. */
  mux: MuxNames | null
  createdAt: number
  updatedAt: number
}

export const Title = line(200, { examples: ['Introduction to Algorithms'] })
export const Kind = Type.Unsafe<MediaType>(Type.String({ enum: ['video', 'audio'] }))
export const VisibilityField = Type.Unsafe<Visibility>(
  Type.String({
    enum: ['private', 'public'],
    description: 'public: anyone may watch, without a token. Default: private.'
  })
)

export const ProtectionField = Type.Unsafe<Protection>(
  Type.String({
    enum: ['none', 'encrypted'],
    description:
      'encrypted: it is played as encrypted HLS, and the plain stream is for its owner and administrators. Default: none.'
  })
)

/** The text fields of an upload; the file comes beside them. */
export const UploadFields = Type.Object(
  {
    title: Title,
    type: Kind,
    visibility: Type.Optional(VisibilityField),
    protection: Type.Optional(ProtectionField)
  },
  { additionalProperties: false }
)

export const LinkedMediaBody = Type.Object(
  {
    title: Title,
    type: Kind,
    file_url: webAddress({
      description: 'Where the media lives. Never fetched by this server.',
      examples: ['https://cdn.example.org/talk.mp4']
    }),
    visibility: Type.Optional(VisibilityField)
  },
  { additionalProperties: false }
)

export const MediaPatch = Type.Object(
  {
    title: Type.Optional(Title),
    visibility: Type.Optional(VisibilityField),
    protection: Type.Optional(ProtectionField)
  },
  { additionalProperties: false, minProperties: 1 }
)

export const MediaReply = Type.Object({
  id: uuid(),
  title: Type.String(),
  type: Kind,
  file_url: Type.Optional(
    Type.String({
      description: 'For the owner and administrators: the given address, or the unsigned path of the stream.'
    })
  ),
  created_at: moment(),
  updated_at: moment(),
  owner_id: uuid(),
  visibility: VisibilityField,
  content_type: nullable(Type.String()),
  size_bytes: nullable(Type.Integer()),
  sha256: nullable(Type.String()),
  duration_seconds: nullable(Type.Number()),
  width: nullable(Type.Integer()),
  height: nullable(Type.Integer()),
  codecs: Type.Array(Type.String()),
  status: Type.Unsafe<Media['status']>(Type.String({ enum: ['ready', 'processing', 'failed'] })),
  protection: ProtectionField,
  progress: Type.Integer({ description: 'Percent, while it is processing.' }),
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() }))
})

/** What is shown of a media; `forOwner` adds where its bytes are. */
export function mediaReply (media: Media, forOwner: boolean): Static<typeof MediaReply> {
  return {
    id: media.id,
    title: media.title,
    type: media.type,
    file_url: forOwner ? (media.fileUrl ?? `/media/stream/${media.id}`) : undefined,
    created_at: isoTime(media.createdAt),
    updated_at: isoTime(media.updatedAt),
    owner_id: media.ownerId,
    visibility: media.visibility,
    content_type: media.contentType,
    size_bytes: media.sizeBytes,
    sha256: media.sha256,
    duration_seconds: media.durationMs === null ? null : media.durationMs / 1000,
    width: media.width,
    height: media.height,
    codecs: media.codecs,
    status: media.status,
    protection: media.protection,
    progress: media.progress,
    error: media.error ?? undefined
  }
}
