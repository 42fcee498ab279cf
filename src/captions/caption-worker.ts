import { readCaptions, type CaptionFile } from './read-captions.js'
import type { CaptionFormat } from './schema.js'

export interface CaptionTask {
  bytes: Uint8Array
  format: CaptionFormat
}

export default function run ({ bytes, format }: CaptionTask): CaptionFile {
  return readCaptions(bytes, format)
}
