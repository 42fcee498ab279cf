import type { Media } from '../../media/schema.js'
import { FileFault } from './file-fault.js'

/** Codecs that MPEG-TS and every HLS player support, by the names of MediaInfo. */
const VIDEO_CODECS = ['h264']
const AUDIO_CODECS = ['aac', 'mp3']
const OTHER_SOUNDS = /^(opus|vorbis|flac|alac|e?ac3|dts|pcm.*)$/

/** The reasons of failed packaging, as shown to the owner of the media. */
const REASONS = {
  source_codec_unsupported: 'The file has a codec that encrypted streams do not support.',
  source_container_unsupported:
    'Only ffmpeg can package this format, and it is not installed on this server.',
  source_turned:
    'The file relies on the player to rotate or mirror its pictures. An encrypted stream of it needs ffmpeg, which ' +
    'is not installed on this server; or export the file upright.',
  source_stretched:
    'The pixels of the file are not square. An encrypted stream of it needs ffmpeg, which is not installed on this ' +
    'server; or export the file with square pixels.',
  source_edited:
    'The file was cut without encoding it again, and still contains the removed parts. An encrypted stream of it ' +
    'needs ffmpeg, which is not installed on this server; or export the file again.',
  source_has_no_media: 'The file has neither pictures nor sound.',
  source_damaged: 'The file is damaged: it could not be read to its end.',
  source_too_large:
    'The pictures of the file are larger than 8192 × 4320, or it needs more memory or time than this server gives to ' +
    'one file.',
  source_inflated: 'What was made of the file grew far larger than the file: it was given up.',
  packaging_failed: 'The file could not be packaged.'
}
type Reason = keyof typeof REASONS
const REASON_OF_FAULT = {
  damaged: 'source_damaged',
  empty: 'source_has_no_media',
  unsupported: 'source_codec_unsupported',
  turned: 'source_turned',
  stretched: 'source_stretched',
  edited: 'source_edited',
  inflated: 'source_inflated',
  excessive: 'source_too_large'
} as const

/** What another attempt of ffmpeg would exceed too. */
const FINAL: Reason[] = ['source_too_large', 'source_inflated']

/** A failure that a retry does not fix. */
export class Unpackageable extends Error {
  readonly code: Reason
  constructor (code: Reason, message: string = REASONS[code], cause?: unknown) {
    super(message, { cause })
    this.code = code
  }

  /** Another attempt with another plan of ffmpeg cannot help. */
  get isFinal (): boolean {
    return FINAL.includes(this.code)
  }
}

/** Returns true if the file is known to have sound. */
export function holdsSound ({ codecs, type }: Media): boolean {
  return type === 'audio' || codecs.some((codec) => AUDIO_CODECS.includes(codec) || OTHER_SOUNDS.test(codec))
}

/** Returns the reason why an unsupported media needs ffmpeg. `isKnown`: the packager can read the container. */
export function unsupportedReason ({ codecs, contentType, type }: Media, isKnown: boolean): Unpackageable {
  const unknown = codecs.filter((codec) => !VIDEO_CODECS.includes(codec) && !AUDIO_CODECS.includes(codec))
  if (unknown.length === 0 && type === 'video' && !codecs.some((codec) => VIDEO_CODECS.includes(codec))) {
    unknown.push('an unknown video codec')
  }
  if (unknown.length > 0) {
    return new Unpackageable(
      'source_codec_unsupported',
      `The file has ${unknown.join(' and ')}. Encrypted streams support H.264 video and AAC or MP3 sound; for others ` +
        'this server needs ffmpeg, which is not installed.'
    )
  }
  if (isKnown) {
    return new Unpackageable(
      'source_codec_unsupported',
      'Only ffmpeg can package the sound or the track compression of this file, and it is not installed on this ' +
        'server.'
    )
  }
  return new Unpackageable(
    'source_container_unsupported',
    `The file is ${contentType}. Encrypted streams are made from MP4, MOV, M4V, MKV, MP3 and AAC; for others this ` +
      'server needs ffmpeg, which is not installed.'
  )
}

/** Converts a fault of the file to {@link Unpackageable}; any other error is returned as it is. */
export function toPackagingError (error: unknown): unknown {
  return error instanceof FileFault ? new Unpackageable(REASON_OF_FAULT[error.kind], undefined, error) : error
}
