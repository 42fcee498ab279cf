import t from 'tap'
import { runDemo, serverRuns } from '../../support/run-demo.js'

t.test('the demo of a course plays an instructor and two students and leaves nothing', async (t) => {
  const { status, output, errors, left } = await runDemo(t, 'course')
  t.equal(status, 0, errors)
  t.equal(errors, '')
  const steps = [...output.matchAll(/^ *\d+ {2}(.+)$/gm)].map(([, step]) => step)
  t.same(steps, [
    'Start a throw-away server',
    'Register an instructor and two students',
    'A course',
    'Two lectures in one batch',
    'One more lecture by itself',
    'The public list of courses',
    'A student subscribes',
    'Watch by those links',
    'The other student, without a subscription',
    'Progress',
    'Analytics of the course, for its owner',
    'The student leaves the course',
    'Remove everything'
  ])
  for (const fact of [
    /100 % 34\.7 kB/,
    /2 of 2 uploaded/,
    /3 lectures, 6\.\d+ s/,
    /"Graphs", sha256 equals/,
    /403 {2}Olga Outsider: Access denied\. You are not subscribed to this course\./,
    /most stop at "Searching"/,
    /stream_link_revoked: the old link a second later/
  ]) {
    t.match(output, fact)
  }
  // eslint-disable-next-line no-control-regex
  t.notMatch(output, /\u001b|\r/, 'neither colours nor a moving bar where there is no terminal')
  t.match(output, /process \d+/)
  t.notOk(serverRuns(output), 'no process is left')
  t.same(left, [], 'no folder is left')
})

t.test(
  'the demo of a course by way of Mux: ready by webhook and by asking, tokens that verify, and nothing left',
  async (t) => {
    const { status, output, errors, left } = await runDemo(t, 'course', ['--mux'])
    t.equal(status, 0, errors)
    t.equal(errors, '')
    for (const fact of [
      /ready, by webhook: 2 lectures, as many assets at Mux/,
      /ready, by asking: the webhooks were lost: 3 lectures, as many assets at Mux/,
      /https:\/\/stream\.mux\.com\/\w+\.m3u8\?token=/,
      /"Graphs": the token verifies, sub \w{8}…, aud v, kid key-\w+…, exp in \d+ s/,
      /403 {2}Olga Outsider: Access denied/,
      /most stop at "Searching"/,
      /403 {2}no new URL/
    ]) {
      t.match(output, fact)
    }
    t.notOk(serverRuns(output), 'no process is left')
    t.same(left, [], 'no folder is left')
  }
)

t.test('an option that the demo does not know ends it with one sentence', async (t) => {
  const { status, errors } = await runDemo(t, 'course', ['--max'])
  t.equal(status, 1)
  t.match(errors, 'The demo ended early: the only option is --mux.')
})

for (const moment of ['Start a throw-away server', 'Watch by those links']) {
  t.test(`Ctrl-C at "${moment}" leaves nothing`, async (t) => {
    const { status, output, errors, left } = await runDemo(t, 'course', [], (soFar, stop) => {
      if (soFar.includes(moment)) stop()
    })
    t.equal(status, 1)
    t.match(errors, 'stopped by SIGINT')
    t.notMatch(output, 'Remove everything')
    t.notOk(serverRuns(output))
    t.same(left, [])
  })
}
