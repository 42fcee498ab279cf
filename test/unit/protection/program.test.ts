import t from 'tap'
import { programOf } from '../../../src/protection/hls/program.js'
import type { Frame } from '../../../src/protection/hls/transport-stream.js'

const frame = (kind: Frame['kind'], ...pieces: string[]): Frame => ({
  kind,
  pieces: pieces.map((piece) => Buffer.from(piece, 'hex')),
  pts: 0,
  dts: undefined,
  key: true
})

t.test('the types of a stream are those of its first frames, not of the file', async (t) => {
  const picture = frame('video', '00000001', '09f0')
  t.same(programOf(picture, undefined), { video: 'h264', audio: undefined })
  t.equal(programOf(frame('video', '000001', '67'), undefined).video, 'h264', 'a short start code')
  for (const [head, type] of [
    ['fff15080', 'aac'],
    ['fff94c80', 'aac'],
    ['fffb9064', 'mpeg1-audio'],
    ['fff3a4c4', 'mpeg2-audio'],
    ['ffe3a4c4', 'mpeg2-audio']
  ] as const) {
    t.equal(programOf(undefined, frame('audio', head)).audio, type, head)
    t.equal(programOf(picture, frame('audio', head.slice(0, 2), head.slice(2))).audio, type, `${head} in two pieces`)
  }
})

t.test('frames that are not what the file says are refused (bug: AC-3 was labelled AAC)', async (t) => {
  const sounds = { 'AC-3': '0b77a1b2', 'layer II': 'fffd9064', 'no sync': '00112233', short: 'fffb' }
  for (const [kind, head] of Object.entries(sounds)) {
    t.throws(() => programOf(undefined, frame('audio', head)), { message: `sound begins with ${head}` }, kind)
  }
  t.throws(() => programOf(frame('video', '0000000267'), undefined), { message: 'a picture begins with 00000002' })
})
