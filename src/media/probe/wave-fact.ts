import { bytesAt, type FileView } from '../file-view.js'
import { isWave } from './picture-free-view.js'

const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe]
const MAX_CHUNKS = 2000

/**
 * The length of compressed sound in a WAV file, by its `fact` chunk. A bit rate in a header is only an average. Returns
 * undefined if there is none, and for PCM, whose bytes give the length.
 */
export function waveFactSeconds (view: FileView): number | undefined {
  if (!isWave(view)) return undefined
  let rate = 0
  for (let position = 12, i = 0; i < MAX_CHUNKS; i++) {
    const chunk = bytesAt(view, position, 16)
    if (chunk.length < 16) return undefined
    const type = chunk.toString('latin1', 0, 4)
    if (type === 'fmt ' && [PCM, FLOAT, EXTENSIBLE].includes(chunk.readUInt16LE(8))) return undefined
    if (type === 'fmt ') rate = chunk.readUInt32LE(12)
    if (type === 'fact' && rate > 0) return chunk.readUInt32LE(8) / rate || undefined
    if (type === 'data') return undefined
    const size = chunk.readUInt32LE(4)
    position += 8 + size + (size % 2)
  }
  return undefined
}
