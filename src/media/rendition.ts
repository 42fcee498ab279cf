import { Type, type Static } from '@sinclair/typebox'
import { Nullable, StringEnum } from '../schemas/fields.js'

const renditionStatuses = ['waiting', 'processing', 'ready', 'failed'] as const
export type RenditionStatus = (typeof renditionStatuses)[number]

/** The file of a rendition. `madeAt` in epoch milliseconds, `bitrate` in bits a second. */
export interface RenditionFile {
  blobName: string
  contentType: string
  sizeBytes: number
  width: number | null
  height: number | null
  codecs: string[]
  bitrate: number | null
  madeAt: number
}

/** A file that common browsers play, made of a media that they do not play. `file` is null until it is ready. */
export interface Rendition {
  status: RenditionStatus
  /** In percent. */
  progress: number
  file: RenditionFile | null
  error: { code: string; message: string } | null
}

/** A rendition that waits for its job. */
export const WAITING: Rendition = { status: 'waiting', progress: 0, file: null, error: null }

/** The name of the only kind of rendition. */
const COMPATIBLE = 'compatible'

export const RenditionReply = Type.Object({
  name: StringEnum([COMPATIBLE], { description: '`compatible`: H.264 and AAC in MP4, or AAC in M4A for sound.' }),
  status: StringEnum(renditionStatuses),
  progress: Type.Integer({ description: 'Percent of the rendition.' }),
  width: Nullable(Type.Integer({ description: 'Null until it is ready, and for sound.' })),
  height: Nullable(Type.Integer()),
  codecs: Type.Array(Type.String()),
  bitrate: Nullable(Type.Integer({ description: 'Bits a second; null until it is ready.' })),
  size_bytes: Nullable(Type.Integer({ description: 'Null until it is ready. It does not count against the quota.' })),
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() }))
})

export const RenditionsReply = Type.Array(RenditionReply, {
  description:
    'What this server makes of a file that common browsers do not play. As soon as a rendition is ready, the stream ' +
    'of the media is the rendition. Empty if the media needs none.'
})

/** Returns the API's representation of the renditions of a media. */
export function renditionReplies (rendition: Rendition | null): Static<typeof RenditionsReply> {
  if (rendition === null) return []
  const { status, progress, file, error } = rendition
  return [
    {
      name: COMPATIBLE,
      status,
      progress,
      width: file?.width ?? null,
      height: file?.height ?? null,
      codecs: file?.codecs ?? [],
      bitrate: file?.bitrate ?? null,
      size_bytes: file?.sizeBytes ?? null,
      error: error ?? undefined
    }
  ]
}
