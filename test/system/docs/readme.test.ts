import { spawn } from 'node:child_process'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { testEnvironment } from '../../support/test-app.js'
import { startServer } from '../../support/server-process.js'
import { fixtures } from '../../support/fixtures.js'

t.test("the README's requests run as written, against a fresh server", async (t) => {
  const { env, folder } = await testEnvironment(t, { ENVIRONMENT: 'development' })
  const server = await startServer(t, env)
  await copyFile(join(fixtures, 'tiny.mp4'), join(folder, 'movie.mp4'))
  const readme = await readFile('README.md', 'utf8')
  const blocks = [...readme.matchAll(/```bash\n([^]*?)```/g)].map(([, block]) => block!)
  t.equal(blocks.length, 7, 'a film, a login, a revocation, ways in, texts, an API key, and a course')
  const expanded = /![\w-]/
  t.notMatch(blocks.join('\n'), expanded, 'an interactive shell expands no history (bug: !text: event not found)')
  const script = blocks.join('\n').replaceAll('http://127.0.0.1:8000', server.origin)
  const { code, output } = await bash(`set -eu\n${script}`, folder)
  t.equal(code, 0, output.slice(-1500))
  const has = (pattern: RegExp, what: string) => t.ok(pattern.test(output), what)
  has(/<video controls src="http:\/\/127\.0\.0\.1:\d+\/media\/stream\/[^"]+&sig=[^"]+"><\/video>/, 'a link')
  has(/^206$/m, 'a range')
  const links = [...output.matchAll(/<video controls src="([^"]+)"/g)].map(([, link]) => link!)
  t.equal((await fetch(links[0]!)).status, 403, 'the first link is revoked')
  t.equal((await fetch(links.at(-1)!)).status, 200, 'all blocks at once end with a link that plays')
  has(/"total_views":1,"unique_ips":1/, 'one view')
  has(/"language":"en"|"lang":"en"/, 'captions')
  has(/"successful_uploads":2/, 'two lectures at once')
  has(/"subscribers":1/, 'a subscriber')
  t.equal(output.match(/204$/gm)?.length, 2, 'links revoked, course left')
  t.notOk(output.includes('/problems/'), 'nothing was refused')
})

t.test("the README's first block by itself ends with a link that plays; without movie.mp4 it says so", async (t) => {
  const { env, folder } = await testEnvironment(t, { ENVIRONMENT: 'development' })
  const server = await startServer(t, env)
  const [, block] = /```bash\n([^]*?)```/.exec(await readFile('README.md', 'utf8'))!
  const script = block!.replaceAll('http://127.0.0.1:8000', server.origin)
  t.match((await bash(script, folder)).output, /There is no movie\.mp4 in this folder/)
  await copyFile(join(fixtures, 'tiny.mp4'), join(folder, 'movie.mp4'))
  const { output } = await bash(script.replace('ada@', 'eve@'), folder)
  const [, link] = /<video controls src="([^"]+)"/.exec(output) ?? []
  t.equal((await fetch(link!)).status, 200, output)
})

/** Runs a script in a folder. Returns its exit code and everything that it printed. */
async function bash (script: string, cwd: string): Promise<{ code: number | null; output: string }> {
  const child = spawn('bash', ['-c', script], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}
