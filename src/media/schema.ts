import { Type, type Static } from '@sinclair/typebox'
import { DateTime, Nullable, SingleLine, StringEnum, Uuid, WebAddress } from '../schemas/fields.js'
import { defineForm } from '../schemas/form.js'
import { isoTime } from '../time.js'
import type { Track } from './media-formats.js'
import { RenditionsReply, renditionReplies, type Rendition } from './rendition.js'

export const mediaTypes = ['video', 'audio'] as const
export type MediaType = (typeof mediaTypes)[number]
const visibilities = ['private', 'public'] as const
export type Visibility = (typeof visibilities)[number]
const protections = ['none', 'encrypted'] as const
export type Protection = (typeof protections)[number]
const statuses = ['ready', 'processing', 'failed'] as const
export type MediaStatus = (typeof statuses)[number]
export type ProviderName = 'local' | 'mux'

/**
 * The ids of a media at Mux. The upload id is known first, then the asset id. The playback id is known when the media
 * can be played.
 */
export interface MuxNames {
  uploadId: string | null
  assetId: string | null
  playbackId: string | null
  policy: 'signed' | 'drm'
}

/** The blob with the segments of an encrypted stream, and the encrypted content key. */
export interface Package {
  blobName: string
  contentKey: string
}

/** The domain model of a media. */
export interface Media {
  id: string
  ownerId: string
  title: string
  type: MediaType
  visibility: Visibility
  status: MediaStatus
  /** The external URL of a media that was created by JSON; null for an uploaded media. */
  fileUrl: string | null
  blobName: string | null
  contentType: string | null
  sizeBytes: number | null
  /** SHA-256 of the file, in hex. */
  sha256: string | null
  durationMs: number | null
  width: number | null
  height: number | null
  codecs: string[]
  /** Null until a file that an older version stored is described again. */
  tracks: Track[] | null
  generation: number
  protection: Protection
  /** Completed part of the packaging, in percent. */
  progress: number
  /** The error of a failed media. */
  error: { code: string; message: string } | null
  /** The blob of the poster, which is a JPEG picture. */
  posterBlob: string | null
  /** The encrypted segments in one blob; null until packaging is complete. */
  packaged: Package | null
  /** The provider that packages and serves the encrypted stream, if the media has one. */
  provider: ProviderName
  /** Null before the upload to Mux. */
  mux: MuxNames | null
  /** Whether common browsers play the file as it is. Null if unknown. */
  playableEverywhere: boolean | null
  /** Null for a media that needs no rendition. */
  rendition: Rendition | null
  createdAt: number
  updatedAt: number
}

export const Title = SingleLine(200, { examples: ['Introduction to Algorithms'] })
export const MediaTypeSchema = StringEnum(mediaTypes)
export const MediaStatusSchema = StringEnum(statuses)
export const VisibilitySchema = StringEnum(visibilities, {
  description: '`public`: anyone may watch, without a token. Default: `private`.'
})
export const ProtectionSchema = StringEnum(protections, {
  description:
    '`encrypted`: played as encrypted HLS; only the owner and administrators get the plain stream. Default: `none`.'
})
/** A track of picture or sound. */
export const TrackReply = Type.Object({
  kind: StringEnum(['video', 'audio']),
  codec: Type.String({ description: "ffmpeg's name of the codec.", examples: ['h264'] }),
  language: Nullable(
    Type.String({ description: 'By ISO 639 or BCP 47, as the file says it; null if it says none.', examples: ['eng'] })
  ),
  channels: Nullable(Type.Integer({ description: 'Channels of sound; null for a track of picture.' })),
  width: Nullable(Type.Integer({ description: 'In pixels, as a player shows it; null for a track of sound.' })),
  height: Nullable(Type.Integer()),
  default: Type.Boolean({ description: 'A player may choose this track by itself.' })
})
/** The error of a failed media. */
export const FailureReply = Type.Object({ code: Type.String(), message: Type.String() })

/** The text fields of an upload. */
export const UploadFields = Type.Object(
  {
    title: Title,
    type: MediaTypeSchema,
    visibility: Type.Optional(VisibilitySchema),
    protection: Type.Optional(ProtectionSchema)
  },
  { additionalProperties: false }
)

export const MediaForm = defineForm(UploadFields, { name: 'file', aliases: ['media'] })

export const LinkedMediaBody = Type.Object(
  {
    title: Title,
    type: MediaTypeSchema,
    file_url: WebAddress({
      description: 'The URL of the media. This server never fetches it.',
      examples: ['https://cdn.example.org/talk.mp4']
    }),
    visibility: Type.Optional(VisibilitySchema)
  },
  { additionalProperties: false }
)

export const Sha256 = Type.String({
  pattern: '^[0-9a-f]{64}$',
  'x-message': 'must be a SHA-256 in lower-case hex',
  examples: ['9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08']
})

export const PreflightBody = Type.Object(
  {
    sha256: Sha256,
    size_bytes: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, examples: [1048576] }),
    create: Type.Optional(
      Type.Boolean({ description: 'Create a media if you have the file. The fields below describe the new media.' })
    ),
    title: Type.Optional(Title),
    type: Type.Optional(MediaTypeSchema),
    visibility: Type.Optional(VisibilitySchema),
    protection: Type.Optional(ProtectionSchema)
  },
  { additionalProperties: false }
)

export const PreflightReply = Type.Object({
  exists: Type.Boolean(),
  media_id: Nullable(Uuid({ description: 'Your newest media with this file.' }))
})

/** Returns the reply for a media that has the wanted file, or for none. */
export function preflightReply (media: Media | undefined): Static<typeof PreflightReply> {
  return { exists: media !== undefined, media_id: media?.id ?? null }
}

export const MediaPatch = Type.Object(
  {
    title: Type.Optional(Title),
    visibility: Type.Optional(VisibilitySchema),
    protection: Type.Optional(ProtectionSchema)
  },
  { additionalProperties: false, minProperties: 1 }
)

export const MediaReply = Type.Object({
  id: Uuid(),
  title: Type.String(),
  type: MediaTypeSchema,
  file_url: Type.Optional(
    Type.String({
      description: 'For the owner and administrators only: the given URL, or the unsigned path of the stream.'
    })
  ),
  created_at: DateTime(),
  updated_at: DateTime(),
  owner_id: Uuid(),
  visibility: VisibilitySchema,
  content_type: Nullable(Type.String()),
  size_bytes: Nullable(Type.Integer()),
  sha256: Nullable(Type.String()),
  duration_seconds: Nullable(Type.Number()),
  width: Nullable(Type.Integer()),
  height: Nullable(Type.Integer()),
  codecs: Type.Array(Type.String()),
  tracks: Type.Array(TrackReply, {
    description:
      'The tracks of picture and sound, in the order of the file. Cover pictures, chapter pictures, subtitles and ' +
      'data are left out. Empty for a media that is hosted elsewhere, and until a file that an older version stored ' +
      'is described again.'
  }),
  playable_everywhere: Nullable(
    Type.Boolean({ description: 'Whether common browsers play the file as it is; null if unknown.' })
  ),
  renditions: RenditionsReply,
  status: MediaStatusSchema,
  protection: ProtectionSchema,
  progress: Type.Integer({ description: 'Percent of the processing.' }),
  error: Type.Optional(FailureReply)
})

/** Returns the API's representation of a media. With `forOwner`, it contains `file_url`. */
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
    tracks: media.tracks ?? [],
    playable_everywhere: media.playableEverywhere,
    renditions: renditionReplies(media.rendition),
    status: media.status,
    protection: media.protection,
    progress: media.progress,
    error: media.error ?? undefined
  }
}
