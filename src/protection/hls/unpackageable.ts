import type { Media } from '../../media/schema.js'
import { FileFault } from './file-fault.js'

/**
 * Codecs and containers that need no ffmpeg. MPEG-TS and every HLS player support these codecs (names of MediaInfo),
 * and mediabunny reads these containers.
 */
const VIDEO_CODECS = ['h264']
const AUDIO_CODECS = ['aac', 'mp3']
const CONTAINERS = [
  'video/mp4',
  'video/quicktime',
  'video/x-m4v',
  'video/x-matroska',
  'audio/mp4',
  'audio/mpeg',
  'audio/aac'
]

/** The reasons of failed packaging, as shown to the owner of the media. */
const REASONS = {
  source_codec_unsupported: 'The file holds a codec that an encrypted stream does not take.',
  source_container_unsupported:
    'The file is of a format that only ffmpeg can package, which is not installed on this server.',
  source_has_no_media: 'The file holds no pictures and no sound.',
  source_damaged: 'The file is damaged: it could not be read to its end.',
  source_too_large:
    'The pictures of the file are larger than 8192 × 4320, or it needs more memory than this server gives to one file.',
  source_inflated: 'What was made of the file grew far larger than the file: it was given up.',
  packaging_failed: 'The file could not be packaged.'
}
type Reason = keyof typeof REASONS
const REASON_OF_FAULT = {
  damaged: 'source_damaged',
  unsupported: 'source_codec_unsupported',
  inflated: 'source_inflated',
  excessive: 'source_too_large'
} as const

/** A failure that a retry does not fix. */
export class Unpackageable extends Error {
  readonly code: Reason
  constructor (code: Reason, message: string = REASONS[code], cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** Returns the reason why a media cannot be packaged without ffmpeg. Undefined if it can be packaged. */
export function unsupportedReason ({ codecs, contentType, type }: Media): Unpackageable | undefined {
  const unknown = codecs.filter((codec) => !VIDEO_CODECS.includes(codec) && !AUDIO_CODECS.includes(codec))
  if (unknown.length === 0 && type === 'video' && !codecs.some((codec) => VIDEO_CODECS.includes(codec))) {
    unknown.push('no video it knows')
  }
  if (unknown.length > 0) {
    return new Unpackageable(
      'source_codec_unsupported',
      `The file holds ${unknown.join(' and ')}. An encrypted stream takes H.264 video and AAC or MP3 sound; for ` +
        'others this server needs ffmpeg, which is not installed.'
    )
  }
  if (CONTAINERS.includes(contentType!)) return undefined
  return new Unpackageable(
    'source_container_unsupported',
    `The file is ${contentType}. An encrypted stream is made of MP4, MOV, M4V, MKV, MP3 and AAC; for others this ` +
      'server needs ffmpeg, which is not installed.'
  )
}

/** Returns the codecs that ffmpeg need not encode again. Pictures in an AVI have no timestamps and must be encoded. */
export function codecsToCopy ({ codecs, contentType }: Media): string[] {
  return codecs.filter((codec) => contentType !== 'video/x-msvideo' || !VIDEO_CODECS.includes(codec))
}

/** Converts a fault of the file to {@link Unpackageable}; any other error is returned as it is. */
export function toPackagingError (error: unknown): unknown {
  return error instanceof FileFault ? new Unpackageable(REASON_OF_FAULT[error.kind], undefined, error) : error
}
