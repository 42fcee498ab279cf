import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readFlacFacts } from '../../../src/media/probe/flac-end.js'
import { fixtures } from '../../support/fixtures.js'

const facts = (content: Buffer) =>
  readFlacFacts({
    size: content.length,
    read: (into, position) => (position >= content.length ? 0 : content.copy(into, 0, position))
  })
const seconds = (content: Buffer) => facts(content)?.seconds

t.test('the length of a FLAC file is where its last frame ends', async (t) => {
  const tiny = readFileSync(join(fixtures, 'tiny.flac'))
  const streamed = readFileSync(join(fixtures, 'cases/pipe.flac'))
  t.equal(seconds(tiny), 2)
  t.equal(seconds(streamed), 4, 'no number of samples is in the header')
  t.equal(seconds(Buffer.concat([streamed, Buffer.from('TAG'), Buffer.alloc(125, 0xff)])), 4, 'a tag at the end')
  const cut = seconds(streamed.subarray(0, streamed.length / 2))!
  t.ok(cut > 1.5 && cut < 2.5, `half of it: ${cut} s`)
  t.equal(seconds(streamed.subarray(0, 100)), undefined, 'no frame')
  t.equal(seconds(Buffer.alloc(1000, 0xff)), undefined, 'no FLAC')
})

t.test('a FLAC file is truncated if samples of its header are missing, or the end of its last frame', async (t) => {
  const tiny = readFileSync(join(fixtures, 'tiny.flac'))
  const tag = Buffer.concat([Buffer.from('TAG'), Buffer.alloc(125, 0xff)])
  for (const whole of [tiny, Buffer.concat([tiny, tag])]) t.equal(facts(whole)?.isTruncated, false)
  for (const length of [tiny.length / 2, tiny.length - 100, tiny.length - 1]) {
    t.equal(facts(tiny.subarray(0, length))?.isTruncated, true, `${length} of ${tiny.length} bytes`)
  }
  const streamed = readFileSync(join(fixtures, 'cases/pipe.flac'))
  t.equal(facts(streamed.subarray(0, streamed.length / 2))?.isTruncated, false, 'no header tells')
})
