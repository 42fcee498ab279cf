import { join } from 'node:path'
import t from 'tap'
import { fixtures } from '../../support/fixtures.js'
import { runDemo, serverRuns } from '../../support/run-demo.js'

t.test('the demo plays the whole story with the fixture and leaves nothing', async (t) => {
  const { status, output, errors, left } = await runDemo(t, 'demo')
  t.equal(status, 0, errors)
  t.equal(errors, '')
  const steps = [...output.matchAll(/^ *\d+ {2}(.+)$/gm)].map(([, step]) => step)
  t.same(steps, [
    'Start a throw-away server',
    'Sign up',
    'Upload, streamed from disk to disk',
    'A link that expires',
    'Range requests, as a player seeks',
    'Stream the whole file',
    'Views from several addresses',
    'Analytics',
    'Links that open nothing',
    'Memory of the server process',
    'Remove everything'
  ])
  for (const fact of [
    /100 % 18\.4 kB/,
    /Content-Range: bytes 0-1\/18398 {2}same bytes/,
    /sha256 equals/,
    /16 views/,
    /█ 16/,
    /stream_link_invalid/,
    /stream_link_expired/,
    /MB at its peak/
  ]) {
    t.match(output, fact)
  }
  // eslint-disable-next-line no-control-regex
  t.notMatch(output, /\u001b|\r/, 'neither colours nor a moving bar where there is no terminal')
  t.match(output, /process \d+/)
  t.notOk(serverRuns(output), 'no process is left')
  t.same(left, [], 'no folder is left')
})

t.test('a file that is not there, a folder and an empty file end the demo with one sentence', async (t) => {
  for (const [path, sentence] of [
    [join(fixtures, 'nothing.mp4'), 'there is no file'],
    [fixtures, 'is not a file'],
    [join(fixtures, 'empty.mp4'), 'is empty']
  ] as const) {
    const { status, output, errors } = await runDemo(t, 'demo', [path])
    t.equal(status, 1)
    t.equal(output, '')
    t.match(errors, new RegExp(`^\nThe demo ended early: .*${sentence}.*\\.\n$`))
  }
})

t.test('a file that is no media ends the demo with one sentence and leaves nothing', async (t) => {
  const { status, output, errors, left } = await runDemo(t, 'demo', [join(fixtures, 'bad.pdf')])
  t.equal(status, 1)
  t.match(errors, /^\nThe demo ended early: bad\.pdf is not a media file that Playgate takes .*\n$/)
  t.notOk(serverRuns(output))
  t.same(left, [])
})

for (const moment of ['Start a throw-away server', 'Stream the whole file']) {
  t.test(`Ctrl-C at "${moment}" leaves nothing`, async (t) => {
    const { status, output, errors, left } = await runDemo(t, 'demo', [], (soFar, stop) => {
      if (soFar.includes(moment)) stop()
    })
    t.equal(status, 1)
    t.match(errors, 'stopped by SIGINT')
    t.notMatch(output, 'Remove everything')
    t.notOk(serverRuns(output))
    t.same(left, [])
  })
}
