import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { wavHead } from '../../../bench/bench-server.js'
import { fixtures } from '../../support/fixtures.js'
import * as hostile from '../../support/hostile-files.js'

const MiB = 1024 * 1024

t.test('a large WAV is described without its sound being read (bug: 5 s of CPU a GB)', async (t) => {
  let bytes = 0
  const { readSync } = fs
  fs.readSync = ((...args: Parameters<typeof readSync>) => {
    const read = readSync(...args)
    bytes += read
    return read
  }) as typeof readSync
  syncBuiltinESMExports()
  t.teardown(() => {
    fs.readSync = readSync
    syncBuiltinESMExports()
  })
  const { describe } = await import('../../../src/media/probe/describe-file.js')
  const path = join(t.testdir(), 'large.wav')
  const sound = 1024 * MiB
  fs.writeFileSync(path, wavHead(sound))
  fs.truncateSync(path, 44 + sound)
  const durationMs = Math.round((sound / 176_400) * 1000)
  t.match(await describe(path), { type: 'audio', contentType: 'audio/wav', durationMs, codecs: ['pcm_s16le'] })
  t.ok(bytes < 16 * MiB, `${bytes} bytes were read`)
})

t.test('a cover picture makes no difference to a description (bug: 14 s of CPU for 8 MB)', async (t) => {
  const { describe } = await import('../../../src/media/probe/describe-file.js')
  const folder = t.testdir()
  const art = 3 * MiB
  const cases: Array<[name: string, withArt: (file: Buffer) => Buffer]> = [
    ['tiny.mp3', (file) => hostile.id3Picture(file, art)],
    ['tiny.mp3', (file) => hostile.id3Picture(hostile.id3Picture(file, art), art)],
    ['tiny.mp3', (file) => hostile.id3Frames(file)],
    ['tiny.aac', (file) => hostile.id3Picture(file, art)],
    ['tiny.flac', (file) => hostile.flacPictures(file, art)],
    ['tiny.flac', (file) => hostile.flacPictures(file, art, 4)],
    ['tiny.m4a', (file) => hostile.mp4Picture(file, art)],
    ['tiny.mp4', (file) => hostile.mp4Picture(file, art)],
    ['tiny.wav', (file) => hostile.wavePicture(file, art)],
    ['tiny.mkv', (file) => hostile.matroskaPicture(file, art)]
  ]
  for (const [name, withArt] of cases) {
    const [plain, dressed] = [join(fixtures, name), join(folder, name)]
    fs.writeFileSync(dressed, withArt(fs.readFileSync(plain)))
    const expected = await describe(plain)
    t.ok(expected)
    t.same(await describe(dressed), expected, name)
  }
})

t.test('what the parser is shown of a file with pictures', async (t) => {
  const { withoutPictures } = await import('../../../src/media/probe/picture-free-view.js')
  const shown = (content: Buffer): Buffer => {
    const read = (into: Buffer, position: number) => content.subarray(position).copy(into)
    const view = withoutPictures({ size: content.length, read })
    const bytes = Buffer.alloc(view.size)
    // By a byte at a time, so that each border of a patch is one of a read.
    for (let i = 0; i < bytes.length; i++) t.equal(view.read(bytes.subarray(i, i + 1), i), 1)
    return bytes
  }
  const sound = Buffer.from('sound')
  t.same(shown(hostile.id3Picture(sound, 100)), sound, 'an ID3 tag is left out')
  const onlyTag = Buffer.from('ID3\x03\0\0\0\0\x7f\x7f')
  t.same(shown(onlyTag), onlyTag, 'unless nothing would be left')
  t.same(shown(Buffer.from('ID3')), Buffer.from('ID3'))
  t.same(shown(Buffer.alloc(0)), Buffer.alloc(0))
  const list = (type: string) => {
    const items = hostile.box('ilst', hostile.box(type, sound))
    return hostile.box('moov', hostile.box('meta', hostile.u32(0), hostile.box('hdlr'), items))
  }
  t.same(shown(list('covr')), list('free'), 'a cover is free space')
  const cut = list('covr').subarray(0, -1)
  t.same(shown(cut), cut, 'a box that reaches beyond the end is left to the parser')
  const flac = Buffer.concat([Buffer.from('fLaC\0\0\0\0\x86\0\0\x01', 'latin1'), Buffer.from('x')])
  t.equal(shown(flac)[8], 0x81, 'a picture is padding, and the last block stays the last')
})

t.test('ISO media is accepted by its tracks, whatever its brand; other look-alikes are not', async (t) => {
  const { describe } = await import('../../../src/media/probe/describe-file.js')
  const path = join(t.testdir(), 'file')
  const tiny = fs.readFileSync(join(fixtures, 'tiny.mp4'))
  const withText = (position: number, text: string) => {
    const changed = Buffer.from(tiny)
    changed.write(text, position, 'latin1')
    return changed
  }
  const layer2Frame = Buffer.concat([Buffer.from('fffd80c0', 'hex'), Buffer.alloc(413)])
  const film = { contentType: 'video/mp4', durationMs: 2000, width: 128, height: 72, codecs: ['h264', 'aac'] }
  const cases: Array<[name: string, content: Buffer, expected: object | null]> = [
    ['an unknown brand', withText(8, 'zzzz'), film],
    ['no ftyp box', withText(4, 'free'), film],
    ['a brand of pictures', withText(8, 'heic'), { refused: { code: 'unsupported_media_format' } }],
    ['an encrypted sample entry', withText(tiny.indexOf('avc1', 40), 'encv'), { refused: { code: 'media_encrypted' } }],
    ['MPEG audio of layer II', Buffer.concat(Array<Buffer>(100).fill(layer2Frame)), null]
  ]
  for (const [name, content, expected] of cases) {
    fs.writeFileSync(path, content)
    const found = await describe(path)
    if (expected === null) t.equal(found, null, name)
    else t.match(found, expected, name)
  }
})
