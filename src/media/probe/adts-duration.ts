/** Samples per second by the header's sampling_frequency_index (ISO/IEC 14496-3, table 1.18). */
const SAMPLE_RATES = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350
]
const SAMPLES_PER_BLOCK = 1024
const HEADER_BYTES = 7
const BLOCK_BYTES = 256 * 1024

/**
 * Returns the duration of an ADTS stream (raw AAC) in milliseconds. The format has no duration field. This function
 * adds up the durations of the frames up to the first invalid frame header (ISO/IEC 13818-7, 6.2). `read` fills a
 * buffer from a position and returns the number of bytes.
 */
export function adtsDurationMs (read: (into: Buffer, position: number) => number): number {
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  let start = 0
  let length = read(block, 0)
  let at = 0
  let seconds = 0
  while (true) {
    if (at - start + HEADER_BYTES > length) {
      start = at
      length = read(block, start)
      if (length < HEADER_BYTES) break
    }
    const i = at - start
    if (block[i] !== 0xff || (block[i + 1]! & 0xf6) !== 0xf0) break
    const rate = SAMPLE_RATES[(block[i + 2]! >> 2) & 0x0f]
    const frameBytes = ((block[i + 3]! & 0x03) << 11) | (block[i + 4]! << 3) | (block[i + 5]! >> 5)
    if (rate === undefined || frameBytes < HEADER_BYTES) break
    seconds += (SAMPLES_PER_BLOCK * ((block[i + 6]! & 0x03) + 1)) / rate
    at += frameBytes
  }
  return Math.round(seconds * 1000)
}
