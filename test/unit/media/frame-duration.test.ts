import t from 'tap'
import { adtsHeader, framesDurationMs, mp3Header } from '../../../src/media/probe/frame-duration.js'

/** A frame: `rate` is the index of its sampling rate, `blocks` how many raw data blocks of 1024 samples it has. */
function frame (rate: number, bytes: number, blocks = 1, sync = [0xff, 0xf1]): Buffer {
  const header = [
    ...sync,
    (1 << 6) | (rate << 2),
    (bytes >> 11) & 3,
    (bytes >> 3) & 0xff,
    ((bytes & 7) << 5) | 0x1f,
    0xfc | (blocks - 1)
  ]
  return Buffer.concat([Buffer.from(header), Buffer.alloc(Math.max(0, bytes - 7))])
}
const times = (count: number, one: Buffer) => Buffer.concat(Array.from({ length: count }, () => one))

const cases: Array<[name: string, stream: Buffer, milliseconds: number | null]> = [
  ['nothing', Buffer.alloc(0), null],
  ['less than a header', frame(4, 100).subarray(0, 6), null],
  ['one frame at 44.1 kHz', frame(4, 100), 23],
  ['100 frames at 48 kHz', times(100, frame(3, 200)), 2133],
  ['100 frames at 7,350 Hz', times(100, frame(12, 50)), 13932],
  ['frames of four blocks', times(10, frame(3, 800, 4)), 853],
  ['frames with only a header', times(10, frame(3, 7)), 213],
  ['MPEG-2 with a checksum', times(10, frame(3, 60, 1, [0xff, 0xf8])), 213],
  ['more than a read block', times(4000, frame(3, 333)), 85333],
  ['frames of the largest size', times(100, frame(3, 8191)), 2133],
  ['two rates', Buffer.concat([times(10, frame(3, 60)), times(10, frame(8, 60))]), 853],
  ['a rate that does not exist', frame(13, 100), null],
  ['a frame shorter than its header', frame(4, 3), null],
  ['a frame of no length', frame(4, 0), null],
  ['rubbish behind the frames', Buffer.concat([times(10, frame(3, 60)), Buffer.from('rubbish and more')]), 213],
  ['a layer other than 0', frame(4, 100, 1, [0xff, 0xf3]), null],
  ['rubbish', Buffer.from('this is no stream at all'), null]
]

const viewOf = (content: Buffer) => ({
  size: content.length,
  read: (into: Buffer, position: number) => (position >= content.length ? 0 : content.copy(into, 0, position))
})

t.test('the length of an ADTS stream is that of its frames', async (t) => {
  for (const [name, stream, expected] of cases) t.equal(framesDurationMs(viewOf(stream), adtsHeader), expected, name)
})

/** 128 kbit/s at 44.1 kHz, mono: 417 bytes, 1152 samples. */
const mp3Frame = Buffer.concat([Buffer.from('fffb90c0', 'hex'), Buffer.alloc(413)])
const second = times(38, mp3Frame)
const tag = Buffer.concat([Buffer.from('ID3\x03\0\0\0\0\x02\x00', 'latin1'), Buffer.alloc(256, 0xff)])
const junk = Buffer.alloc(3000, 'junk\xff\xfb', 'latin1')
const apeHead = Buffer.alloc(32)
apeHead.write('APETAGEX', 'latin1')
apeHead.writeUInt32LE(100, 12)
const apeTag = Buffer.concat([apeHead, Buffer.alloc(100, 0xff)])

const mp3Cases: Array<[name: string, parts: Buffer[], milliseconds: number | null]> = [
  ['38 frames', [second], 993],
  ['joined files', [second, second], 1985],
  ['a tag in front', [tag, second], 993],
  ['a tag between', [second, tag, second], 1985],
  ['an APE tag in front', [apeTag, second], 993],
  ['an ID3v1 tag at the end', [second, Buffer.from('TAG'), Buffer.alloc(125)], 993],
  ['junk in front', [junk, second], 993],
  ['junk between', [second, junk, second], 1985],
  ['junk that is more than a read block', [Buffer.alloc(300_000, 'junk'), second], 993],
  ['more junk than frames', [second, Buffer.alloc(2_000_000)], null],
  ['a frame that none follows', [mp3Frame, Buffer.alloc(3000, 'junk')], null],
  ['half rate, MPEG 2', [times(38, Buffer.concat([Buffer.from('fff380c0', 'hex'), Buffer.alloc(204)]))], 993]
]

t.test('the length of an MP3 is that of its frames, whatever is in front and between', async (t) => {
  for (const [name, parts, expected] of mp3Cases) {
    t.equal(framesDurationMs(viewOf(Buffer.concat(parts)), mp3Header), expected, name)
  }
})
