import type { Frame, Program } from './transport-stream.js'

/** Bytes that tell the kind of a frame. */
const HEAD_BYTES = 4
const START_CODES = [Buffer.of(0, 0, 1), Buffer.of(0, 0, 0, 1)]
const LAYER_3 = 1
const MPEG_1 = 3

/** The first frame of a track is not of the kind that its file names. */
export class UnknownFrames extends Error {}

/**
 * Returns the tracks of a program by their first frames, as they will be written. **Throws** {@link UnknownFrames} for
 * a frame that no transport stream of this server carries.
 */
export function programOf (picture: Frame | undefined, sound: Frame | undefined): Program {
  return {
    video: picture === undefined ? undefined : pictureType(headOf(picture)),
    audio: sound === undefined ? undefined : soundType(headOf(sound))
  }
}

function headOf ({ pieces }: Frame): Buffer {
  return Buffer.concat(pieces.map((piece) => piece.subarray(0, HEAD_BYTES))).subarray(0, HEAD_BYTES)
}

/** A byte stream of H.264 begins with a start code (ISO/IEC 14496-10, annex B). */
function pictureType (head: Buffer): Program['video'] {
  if (START_CODES.some((code) => code.equals(head.subarray(0, code.length)))) return 'h264'
  throw new UnknownFrames(`a picture begins with ${head.toString('hex')}`)
}

/** The headers of ADTS (ISO/IEC 14496-3, 1.A.2.2), whose layer is 0, and of MPEG audio (ISO/IEC 11172-3, 2.4.1.3). */
function soundType (head: Buffer): Program['audio'] {
  const isSynced = head.length === HEAD_BYTES && head[0] === 0xff && head[1]! >= 0xe0
  const [version, layer] = [(head[1]! >> 3) & 3, (head[1]! >> 1) & 3]
  if (isSynced && layer === 0 && head[1]! >= 0xf0) return 'aac'
  if (isSynced && layer === LAYER_3) return version === MPEG_1 ? 'mpeg1-audio' : 'mpeg2-audio'
  throw new UnknownFrames(`sound begins with ${head.toString('hex')}`)
}
