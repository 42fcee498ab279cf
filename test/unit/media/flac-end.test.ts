import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { flacSeconds } from '../../../src/media/probe/flac-end.js'
import { fixtures } from '../../support/test-app.js'

const seconds = (content: Buffer) =>
  flacSeconds({
    size: content.length,
    read: (into, position) => (position >= content.length ? 0 : content.copy(into, 0, position))
  })

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
