import t from 'tap'
import { adtsDurationMs } from '../../../src/media/probe/adts-duration.js'

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

const cases: Array<[name: string, stream: Buffer, milliseconds: number]> = [
  ['nothing', Buffer.alloc(0), 0],
  ['less than a header', frame(4, 100).subarray(0, 6), 0],
  ['one frame at 44.1 kHz', frame(4, 100), 23],
  ['100 frames at 48 kHz', times(100, frame(3, 200)), 2133],
  ['100 frames at 7,350 Hz', times(100, frame(12, 50)), 13932],
  ['frames of four blocks', times(10, frame(3, 800, 4)), 853],
  ['frames with only a header', times(10, frame(3, 7)), 213],
  ['MPEG-2 with a checksum', times(10, frame(3, 60, 1, [0xff, 0xf8])), 213],
  ['more than a read block', times(4000, frame(3, 333)), 85333],
  ['frames of the largest size', times(100, frame(3, 8191)), 2133],
  ['two rates', Buffer.concat([times(10, frame(3, 60)), times(10, frame(8, 60))]), 853],
  ['a rate that does not exist', frame(13, 100), 0],
  ['a frame shorter than its header', frame(4, 3), 0],
  ['a frame of no length', frame(4, 0), 0],
  ['rubbish behind the frames', Buffer.concat([times(10, frame(3, 60)), Buffer.from('rubbish and more')]), 213],
  ['a layer other than 0', frame(4, 100, 1, [0xff, 0xf3]), 0],
  ['rubbish', Buffer.from('this is no stream at all'), 0]
]

t.test('the length of an ADTS stream is that of its frames', async (t) => {
  for (const [name, stream, expected] of cases) {
    const read = (into: Buffer, position: number) => (position >= stream.length ? 0 : stream.copy(into, 0, position))
    t.equal(adtsDurationMs(read), expected, name)
  }
})
