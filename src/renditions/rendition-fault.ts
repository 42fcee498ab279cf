/** The reasons of a failed rendition, as shown to the owner of the media. */
const REASONS = {
  ffmpeg_missing: 'A rendition needs ffmpeg, which is not installed on this server.',
  source_has_no_media: 'The file has no pictures and no sound that ffmpeg can read.',
  source_damaged: 'The file is damaged: ffmpeg could not read it to its end.',
  source_too_large: 'The pictures of the file are larger than 8192 × 4320, or it needs too much memory.',
  source_inflated: 'The rendition grew far larger than the file.',
  source_colour_unsupported: 'The pictures of the file are Dolby Vision without a base layer that players can show.',
  transcode_failed: 'The rendition could not be made.'
}
export type RenditionFaultCode = keyof typeof REASONS

/** A failure that a retry does not fix. */
export class RenditionFault extends Error {
  readonly code: RenditionFaultCode
  /** The reason for the owner. `detail` is for the log. */
  readonly reason: string

  constructor (code: RenditionFaultCode, detail?: string) {
    super(detail === undefined ? REASONS[code] : `${REASONS[code]} ${detail}`)
    this.code = code
    this.reason = REASONS[code]
  }
}
