import t from 'tap'
import { readIsoFacts } from '../../../src/media/probe/iso-file.js'
import { box, u32 } from '../../support/hostile-files.js'

const CHUNK = 1000
const sizes = [10, 900]

/** A track of two chunks at these offsets, one sample each, in a file of `bytes`. */
function fileOf (offsets: number[], bytes: number): Buffer {
  const samples = box(
    'stbl',
    box('stsc', u32(0), u32(1), u32(1), u32(1), u32(1)),
    box('stsz', u32(0), u32(0), u32(2), ...sizes.map(u32)),
    box('stco', u32(0), u32(2), ...offsets.map(u32))
  )
  const handler = box('hdlr', u32(0), u32(0), Buffer.from('vide'), Buffer.alloc(12))
  // As QuickTime writes it: a second `hdlr`, of the storage (bug: it was taken for the kind of the track).
  const storage = box('hdlr', u32(0), Buffer.from('dhlralis'), Buffer.alloc(12))
  const movie = box('moov', box('trak', box('mdia', handler, box('minf', storage, samples))))
  const head = Buffer.concat([box('ftyp', Buffer.from('isom'), u32(0)), movie])
  return Buffer.concat([head, Buffer.alloc(bytes - head.length)])
}

function factsOf (file: Buffer) {
  const read = (into: Buffer, position: number) => file.copy(into, 0, position, position + into.length)
  return readIsoFacts({ size: file.length, read })
}
const isTruncated = (file: Buffer) => factsOf(file)?.isTruncated

t.test('a file is truncated if a sample ends beyond it', async (t) => {
  t.equal(isTruncated(fileOf([CHUNK, 2 * CHUNK], 2 * CHUNK + 900)), false, 'whole')
  t.equal(isTruncated(fileOf([CHUNK, 2 * CHUNK], 2 * CHUNK + 899)), true, 'the last byte is missing')
  t.equal(isTruncated(fileOf([3 * CHUNK, 2 * CHUNK], 3 * CHUNK)), true, 'the chunk that lies last is missing')
})

t.test('chunks need no order (bug: the size of the last of the table was added to another)', async (t) => {
  t.equal(isTruncated(fileOf([3 * CHUNK, 2 * CHUNK], 3 * CHUNK + 10)), false)
})

t.test('a file is truncated if it has material and no whole index', async (t) => {
  const type = box('ftyp', Buffer.from('isom'), u32(0))
  const whole = fileOf([CHUNK, 2 * CHUNK], 2 * CHUNK + 900)
  t.equal(isTruncated(Buffer.concat([type, box('mdat', Buffer.alloc(100))])), true, 'no index follows')
  t.equal(isTruncated(whole.subarray(0, 100)), true, 'a part of the index')
  t.equal(isTruncated(Buffer.concat([type, box('moof'), box('mdat')])), false, 'a fragment is no start of a file')
  t.equal(isTruncated(type), false)
})

t.test('tracks without samples and fragments hold nothing', async (t) => {
  const sizeless = fileOf([], 2 * CHUNK)
  sizeless.writeUInt32BE(0, sizeless.indexOf('stsz') + 12)
  t.equal(factsOf(sizeless)?.isEmpty, true)
  t.equal(factsOf(fileOf([CHUNK, 2 * CHUNK], 3 * CHUNK))?.isEmpty, false)
})
