const PACKET_BYTES = 188
const PMT_PID = 0x1000
const VIDEO_PID = 0x100
const AUDIO_PID = 0x101
const H264 = 0x1b
/** ISO/IEC 13818-1, table 2-34. */
const STREAM_TYPES = { aac: 0x0f, mp3: 0x03 }

/**
 * Makes a segment of a media with pictures and sound name both in its table, sound under the same id in each (RFC 8216, 4.3.2.3): mediabunny
 * numbers what has packets in it, so that a tail of sound alone bears the number of the pictures. In place; the table is the second packet.
 */
export function nameBothTracks (segment: Uint8Array, audio: keyof typeof STREAM_TYPES): void {
  const bytes = Buffer.from(segment.buffer, segment.byteOffset, segment.byteLength)
  const table = bytes.subarray(PACKET_BYTES, 2 * PACKET_BYTES)
  if (pidOf(table) !== PMT_PID) throw new Error('the second packet of the segment is no program map')
  const firstType = table[17]!
  table.fill(0xff, 5)
  const section = Buffer.from([0x02, 0xb0, 23, 0, 1, 0xc1, 0, 0, 0xff, 0xff, 0xf0, 0, H264, 0xe1, 0, 0xf0, 0, STREAM_TYPES[audio], 0xe1, 1, 0xf0, 0])
  section.copy(table, 5)
  table.writeUInt32BE(crc32(section), 5 + section.length)
  if (firstType === H264) return
  for (let at = 2 * PACKET_BYTES; at < bytes.length; at += PACKET_BYTES) {
    if (pidOf(bytes.subarray(at)) === VIDEO_PID) bytes.writeUInt16BE(bytes.readUInt16BE(at + 1) & 0xe000 | AUDIO_PID, at + 1)
  }
}

function pidOf (packet: Buffer): number {
  return packet.readUInt16BE(1) & 0x1fff
}

/** ISO/IEC 13818-1, annex A. */
function crc32 (bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte << 24
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0)
  }
  return crc >>> 0
}
