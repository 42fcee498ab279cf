import fc from 'fast-check'
import t from 'tap'
import { withDecodeTimes, type Timed } from '../../../src/protection/hls/decode-times.js'
import { toAdts, toAnnexB } from '../../../src/protection/hls/elementary-stream.js'
import { TransportStream, type Frame, type Program } from '../../../src/protection/hls/transport-stream.js'

interface Packet {
  pid: number
  first: boolean
  counter: number
  key: boolean
  clock: number | undefined
  payload: Buffer
}

/** Takes packets apart by ISO/IEC 13818-1, 2.4.3; throws for what is none. */
function packetsOf (stream: Buffer): Packet[] {
  if (stream.length % 188 !== 0) throw new Error(`${stream.length} bytes are no whole packets`)
  return Array.from({ length: stream.length / 188 }, (_, index) => {
    const packet = stream.subarray(index * 188, (index + 1) * 188)
    if (packet[0] !== 0x47) throw new Error('no sync byte')
    const fieldBytes = (packet[3]! & 0x20) === 0 ? 0 : 1 + packet[4]!
    const flags = fieldBytes > 1 ? packet[5]! : 0
    const clock = (flags & 0x10) === 0 ? undefined : packet.readUInt32BE(6) * 2 + (packet[10]! >> 7)
    return {
      pid: packet.readUInt16BE(1) & 0x1fff,
      first: (packet[1]! & 0x40) !== 0,
      counter: packet[3]! & 0xf,
      key: (flags & 0x40) !== 0,
      clock,
      payload: packet.subarray(4 + fieldBytes)
    }
  })
}

function written (program: Program, frames: Frame[], chunkPackets = 7): Packet[] {
  const chunks: Buffer[] = []
  const stream = new TransportStream(program, chunkPackets, (chunk) => chunks.push(Buffer.from(chunk)))
  stream.writeTables()
  for (const frame of frames) stream.writeFrame(frame)
  stream.flush()
  return packetsOf(Buffer.concat(chunks))
}

/** The time that a PES header holds at a place (2.4.3.6). */
const timeAt = (pes: Buffer, at: number) =>
  ((pes[at]! >> 1) & 7) * 2 ** 30 + (pes.readUInt16BE(at + 1) >> 1) * 2 ** 15 + (pes.readUInt16BE(at + 3) >> 1)
const both: Program = { video: 'h264', audio: 'aac' }

t.test(
  'frames of every size come out as they went in, in packets that count up, after tables that name both tracks',
  async () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 700 }).map((array) => Buffer.from(array))
    const frame = fc.record({
      kind: fc.constantFrom('video' as const, 'audio' as const),
      pieces: fc.array(bytes, { minLength: 1, maxLength: 4 }),
      pts: fc.integer({ min: 1e6, max: 2 ** 34 }),
      key: fc.boolean()
    })
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 20 }),
        (frames, chunkPackets) => {
          const packets = written(
            both,
            frames.map((frame) => ({ ...frame, dts: frame.kind === 'video' ? frame.pts - 10 : undefined })),
            chunkPackets
          )
          const [pat, pmt] = packets
          if (pat?.pid !== 0 || pmt?.pid !== 0x1000) return false
          // Table 2-28: H.264 and ADTS, and the clock beside the pictures.
          if (
            pmt.payload.subarray(9, 11).readUInt16BE() !== 0xe100 ||
            pmt.payload.subarray(13, 23).toString('hex') !== '1be100f0000fe101f000'
          ) {
            return false
          }
          for (const pid of [0x100, 0x101]) {
            const own = packets.filter((packet) => packet.pid === pid)
            if (own.some(({ counter }, index) => counter !== index % 16)) return false
            const starts = own.flatMap((packet, index) => (packet.first ? [index] : []))
            const expected = frames.filter(({ kind }) => kind === (pid === 0x100 ? 'video' : 'audio'))
            if (starts.length !== expected.length) return false
            for (const [number, { pieces, pts, key }] of expected.entries()) {
              const group = own.slice(starts[number], starts[number + 1])
              const pes = Buffer.concat(group.map(({ payload }) => payload))
              const data = Buffer.concat(pieces)
              if (
                !pes.subarray(9 + pes[8]!).equals(data) ||
                timeAt(pes, 9) !== pts % 2 ** 33 ||
                group[0]!.key !== key
              ) {
                return false
              }
              if (
                pid === 0x100 &&
                (timeAt(pes, 14) !== (pts - 10) % 2 ** 33 ||
                  group[0]!.clock !== (pts - 10 - 45_000) % 2 ** 33 ||
                  pes.readUInt16BE(4) !== 0)
              ) {
                return false
              }
              if (pid === 0x101 && pes.readUInt16BE(4) !== pes.length - 6) return false
            }
          }
          return true
        }
      )
    )
  }
)

t.test('a stream with only sound carries the clock itself; both tables have the check sum of annex A', async (t) => {
  const packets = written({ video: undefined, audio: 'mpeg1-audio' }, [
    { kind: 'audio', pieces: [Buffer.alloc(400)], pts: 900_000, dts: undefined, key: false }
  ])
  t.equal(packets[2]!.clock, 855_000)
  const mpegCrc = (bytes: Buffer) =>
    bytes.reduce(
      (crc, byte) =>
        Array.from({ length: 8 }, (_, bit) => (byte >> (7 - bit)) & 1).reduce(
          (crc, bit) => ((crc << 1) ^ (((crc >>> 31) ^ bit) === 1 ? 0x04c11db7 : 0)) >>> 0,
          crc
        ),
      0xffffffff
    )
  for (const { payload } of packets.slice(0, 2)) {
    const section = payload.subarray(1, 1 + 3 + (payload.readUInt16BE(2) & 0xfff))
    t.equal(mpegCrc(section), 0, 'over a section and its sum it is 0')
  }
})

async function decodeTimes (pts: number[]): Promise<Array<Timed & { dts: number }>> {
  const timed: Array<Timed & { dts: number }> = []
  async function * pictures () {
    for (const time of pts) yield { pts: time }
  }
  for await (const picture of withDecodeTimes(pictures())) timed.push(picture)
  return timed
}

t.test('decoding goes before showing, in rising order, for every reordering that H.264 allows', async (t) => {
  t.same(
    (await decodeTimes([0, 9000, 3000, 6000, 12_000])).map(({ dts }) => dts + 32),
    [-3000, 0, 3000, 6000, 9000],
    'I P B B P'
  )
  t.same(
    (await decodeTimes([0, 3000, 6000])).map(({ dts }) => dts + 32),
    [0, 3000, 6000],
    'without B-frames they are the same'
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 16 }), {
        minLength: 1,
        maxLength: 12
      }),
      async (groups) => {
        // Groups of up to 16 pictures, each in any order, 3000 ticks apart.
        let base = 0
        const pts = groups.flatMap((order) => {
          const slots = order.map((_, index) => base + 3000 * index)
          base += 3000 * order.length
          return order
            .map((weight, index) => ({ weight, index }))
            .sort((a, b) => a.weight - b.weight)
            .map(({ index }) => slots[index]!)
        })
        const timed = await decodeTimes(pts)
        return timed.every(
          ({ pts: time, dts }, index) =>
            time === pts[index] && (index === 0 || dts > timed[index - 1]!.dts) && dts <= time
        )
      }
    )
  )
  t.equal(
    (await decodeTimes([5, 5, 5, -1e9, 1e9, NaN].map((time) => (Number.isNaN(time) ? 7 : time)))).length,
    6,
    'times without sense lose no picture'
  )
})

t.test(
  'H.264 becomes a byte stream: a delimiter first, parameter sets before key pictures, nothing past the end',
  async (t) => {
    const sps = Buffer.from('6742c01e', 'hex')
    const pps = Buffer.from('68ce', 'hex')
    const avcC = Buffer.concat([Buffer.from('0142c01effe10004', 'hex'), sps, Buffer.from('010002', 'hex'), pps])
    const framing = toAnnexB(avcC)
    const unit = (hex: string) => Buffer.concat([Buffer.of(0, 0, 0, hex.length / 2), Buffer.from(hex, 'hex')])
    const text = (data: Buffer, key: boolean) => Buffer.concat(framing(data, key)).toString('hex')
    t.equal(text(unit('4101'), false), '0000000109f0' + '000000014101')
    t.equal(
      text(Buffer.concat([unit('09f0'), unit('6501')]), true),
      '0000000109f0' + '000000016742c01e' + '0000000168ce' + '000000016501',
      'its own delimiter is dropped'
    )
    t.equal(
      text(Buffer.concat([unit('6742ff'), unit('6501')]), true),
      '0000000109f0' + '000000016742ff' + '000000016501',
      'a picture that brings parameters keeps its own'
    )
    t.equal(text(Buffer.from('0000ffff6501', 'hex'), false), '0000000109f0' + '000000016501', 'a length beyond the end')
    t.same(
      [framing(Buffer.alloc(0), true), framing(Buffer.of(0, 0, 0), true), framing(Buffer.of(0, 0, 0, 0), false)],
      [[], [], []]
    )
    for (const bad of ['', '01', '0142c01effe1', '0142c01effe1ffff']) {
      t.throws(() => toAnnexB(Buffer.from(bad, 'hex')), RangeError, bad)
    }
  }
)

t.test('AAC gets ADTS headers; what they have no words for gets none', async (t) => {
  const header = (config: string) => toAdts(Buffer.from(config, 'hex'))?.(Buffer.alloc(193), false)[0]?.toString('hex')
  // 44.1 kHz stereo LC, 8 kHz mono LC, 48 kHz 5.1 LC, and HE-AAC of 22.05 kHz within 44.1 kHz.
  t.same(['1210', '1588', '11b0', '2b920800'].map(header), [
    'fff15080191ffc',
    'fff16c40191ffc',
    'fff14d80191ffc',
    'fff15c80191ffc'
  ])
  t.same(['f95e0000', '1780', '0a10', '1200'].map(header), [undefined, undefined, 'fff11080191ffc', undefined])
  const framing = toAdts(Buffer.from('1210', 'hex'))!
  t.same(
    [framing(Buffer.alloc(0), false), framing(Buffer.alloc(9000), false)],
    [[], []],
    'nothing, and too much for 13 bits'
  )
})
