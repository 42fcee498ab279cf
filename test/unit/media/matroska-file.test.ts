import t from 'tap'
import { matroskaEnd } from '../../../src/media/probe/matroska-end.js'
import { readMatroskaFacts } from '../../../src/media/probe/matroska-file.js'

/** An EBML element; its length has eight bytes, and is unknown without `size`. */
function element (id: string, content: Buffer, size: number | undefined = content.length): Buffer {
  const length = Buffer.alloc(8, 0xff)
  length[0] = 0x01
  if (size !== undefined) length.writeUIntBE(size, 2, 6)
  if (size !== undefined) length[1] = 0
  return Buffer.concat([Buffer.from(id, 'hex'), length, content])
}
const number = (id: string, value: number) => element(id, Buffer.from([value >> 24, value >> 16, value >> 8, value]))
const all = (id: string, ...parts: Buffer[]) => element(id, Buffer.concat(parts))

const track = (id: number, type: number, frameMilliseconds = 0) =>
  all('ae', number('d7', id), number('83', type), number('23e383', frameMilliseconds * 1_000_000))
/** A block of a track; `frames` of it are laced. */
function block (id: number, milliseconds: number, frames = 1): Buffer {
  const lacing = frames === 1 ? [0] : [0x04, frames - 1]
  return element('a3', Buffer.from([0x80 | id, milliseconds >> 8, milliseconds & 0xff, ...lacing, 1, 2, 3]))
}
function fileOf (tracks: Buffer[], blocks: Buffer[], missingBytes = 0): Buffer {
  const cluster = all('1f43b675', number('e7', 1000), ...blocks)
  const content = Buffer.concat([all('1654ae6b', ...tracks), cluster])
  return Buffer.concat([all('1a45dfa3'), element('18538067', content, content.length + missingBytes)])
}
const viewOf = (content: Buffer) => ({
  size: content.length,
  read: (into: Buffer, position: number) => content.copy(into, 0, position)
})
const factsOf = (content: Buffer) => readMatroskaFacts(viewOf(content))!
const endOf = (content: Buffer) => matroskaEnd(viewOf(content), factsOf(content).frameTicks)

const [PICTURE, SOUND, SUBTITLE] = [1, 2, 17]

t.test('the last frame of a file ends after its own duration', async (t) => {
  const blocks = [block(1, 0), block(1, 100), block(1, 700)]
  t.equal(endOf(fileOf([track(1, PICTURE)], blocks)), 1000 + 700 + 600, 'as long as the frame before, if none is known')
  // Bug: the gap before it was taken.
  t.equal(endOf(fileOf([track(1, PICTURE, 33)], blocks)), 1733, 'the duration of frames')
  const laced = [block(1, 0, 8), block(1, 208, 8), block(1, 416, 2)]
  t.equal(endOf(fileOf([track(1, SOUND, 26)], laced)), 1416 + 52, 'two frames in a block')
  t.equal(endOf(fileOf([track(1, SOUND)], laced)), 1416 + 52, 'two frames, each an eighth of the block before')
  t.equal(endOf(fileOf([track(1, PICTURE)], [block(1, 0), block(1, 300), block(1, 200)])), 1400, 'reordered pictures')
})

t.test('subtitles make no film longer (bug: the gap before the last one was added)', async (t) => {
  const tracks = [track(1, PICTURE, 40), track(2, SUBTITLE)]
  t.equal(endOf(fileOf(tracks, [block(2, 0), block(1, 1000), block(1, 1200), block(2, 1240)])), 2240)
})

t.test('the walk goes on behind the duration of a subtitle (bug: the length was what lay before it)', async (t) => {
  const subtitle = all('a0', block(2, 0), number('9b', 500))
  const tracks = [track(1, PICTURE, 40), track(2, SUBTITLE)]
  t.equal(endOf(fileOf(tracks, [block(1, 0), subtitle, block(1, 1200)])), 2240)
})

t.test('a track of one picture beside a sound is a cover', async (t) => {
  const coverOf = (...parts: Parameters<typeof fileOf>) => [...factsOf(fileOf(...parts)).disabledTracks]
  const [sounds, both] = [[block(2, 0), block(2, 20)], [track(1, PICTURE), track(2, SOUND)]]
  t.same(coverOf(both, [block(1, 0), ...sounds]), [1])
  t.same(coverOf(both, [block(1, 0), ...sounds, block(1, 40)]), [], 'two pictures are a film')
  t.same(coverOf([track(1, PICTURE)], [block(1, 0)]), [], 'without a sound it is all there is')
})

t.test('a file is truncated if its segment ends beyond it', async (t) => {
  t.equal(factsOf(fileOf([track(1, SOUND)], [block(1, 0)])).isTruncated, false)
  t.equal(factsOf(fileOf([track(1, SOUND)], [block(1, 0)], 1)).isTruncated, true)
})
