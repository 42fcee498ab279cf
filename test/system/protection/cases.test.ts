import t from 'tap'
import { decodingErrors, noFfmpeg } from '../../support/ffmpeg.js'
import { probeStreams } from '../../support/media-facts.js'
import { startPackageServer } from '../../support/package-server.js'
import { fixture } from '../../support/fixtures.js'

/** What the stream of a file of test/fixtures/cases is with ffmpeg, and its status or failure without. */
interface Case {
  seconds: number
  size?: [width: number, height: number]
  withoutFfmpeg: string
}
t.test('files that other media systems package wrongly', { skip: noFfmpeg, timeout: 280_000 }, async (t) => {
  const cases = Object.entries(JSON.parse((await fixture('cases/protected.json')).toString()) as Record<string, Case>)
  const all = JSON.parse((await fixture('cases/expected.json')).toString()) as Record<string, object>
  const wanted = Object.entries(all).filter(([, expected]) => !('refused' in expected)).map(([name]) => name)
  t.same(cases.map(([name]) => name).sort(), wanted.sort(), 'every file that is accepted has an expectation')
  for (const hasFfmpeg of [true, false]) {
    const server = await startPackageServer(t, hasFfmpeg)
    for (const [name, expected] of cases) {
      await t.test(`${name} ${hasFfmpeg ? 'with' : 'without'} ffmpeg`, async (t) => {
        const made = await server.stream(`cases/${name}`, expected.size === undefined ? 'audio' : 'video')
        t.equal(made.code, hasFfmpeg ? 'ready' : expected.withoutFfmpeg)
        if (!('path' in made)) return
        t.ok(Math.abs(made.seconds - expected.seconds) <= 0.15, `${made.seconds} s is ${expected.seconds} s`)
        const streams = await probeStreams(made.path)
        t.same(
          streams.filter(({ codec_type: type }) => type === 'video').map(({ width, height }) => [width, height]),
          expected.size === undefined ? [] : [expected.size]
        )
        const ratios = streams.map((stream) => stream.sample_aspect_ratio).filter((ratio) => ratio !== undefined)
        t.ok(ratios.every((ratio) => ratio === '1:1'), `square pixels: ${ratios.join()}`)
        const sounds = streams.filter(({ codec_type: type }) => type === 'audio').map((stream) => stream.codec_name)
        t.same(sounds, [name.endsWith('.mp3') ? 'mp3' : 'aac'])
        t.equal(await decodingErrors(made.path), '')
        const resolution = expected.size === undefined ? undefined : `RESOLUTION=${expected.size.join('x')}`
        t.equal(/RESOLUTION=\d+x\d+/.exec(made.master)?.[0], resolution)
        t.match(made.master, expected.size === undefined ? /CODECS="mp4a\.40\.\d+"/ : /CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"/)
      })
    }
  }
})
