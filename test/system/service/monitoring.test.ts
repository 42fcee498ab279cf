import { spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../support/services.js'
import { call, eventually, startServer } from '../../support/server-process.js'
import { testEnvironment } from '../../support/test-app.js'
import { callerOf, newLinkedMedia, newToken, overHttp } from '../../support/client.js'

const withoutPrometheus =
  spawnSync('promtool', ['--version']).status !== 0 && 'needs Prometheus: apt-get install prometheus'
const withoutSystemd =
  spawnSync('systemd-analyze', ['--version']).status !== 0 && 'needs systemd-analyze: apt-get install systemd'
const TOKEN = 'a metrics token'

t.test('each alert fires for a bad server and is quiet for a good one', { skip: withoutPrometheus }, async (t) => {
  const options = { cwd: 'deploy/prometheus', encoding: 'utf8' } as const
  const run = spawnSync('promtool', ['test', 'rules', 'alerts.test.yml'], options)
  t.equal(run.status, 0, run.stdout + run.stderr)
  const [rules, tests] = await Promise.all(['alerts', 'alerts.test'].map(readRules))
  const named = (text: string, key: string) =>
    [...text.matchAll(new RegExp(`${key}: (\\w+)`, 'g'))].map(([, name]) => name)
  t.same(named(tests!, 'alertname'), named(rules!, 'alert'), 'each alert has its test')
})

t.test('every expression of the alerts and the dashboard has a series', { skip: withoutPrometheus }, async (t) => {
  const { env } = await testEnvironment(t, { METRICS_TOKEN: TOKEN })
  const server = await startServer(t, env)
  const prometheus = await startPrometheus(t, new URL(server.origin).host)
  await useEveryKindOfRoute(server.origin)
  const expressions = [...(await alertExpressions()), ...(await panelExpressions())]
  t.ok(expressions.length > 30, `${expressions.length} expressions`)
  const missing = async () => {
    const series = await Promise.all(expressions.map(async (text) => ({ text, found: await query(prometheus, text) })))
    return series.filter(({ found }) => found === 0).map(({ text }) => text)
  }
  // A rate needs two scrapes after the requests.
  await eventually('all series are there', async () => (await missing()).length === 0).catch(() => {})
  t.same(await missing(), [])
})

t.test('the systemd unit is valid, and its exposure is at most 2.0', { skip: withoutSystemd }, async (t) => {
  const unit = 'deploy/playgate.service'
  const verified = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
  t.equal(verified.stdout + verified.stderr, '')
  // The threshold is ten times the exposure.
  const args = ['security', '--offline=true', '--threshold=20', unit]
  const rated = spawnSync('systemd-analyze', args, { encoding: 'utf8' })
  t.equal(rated.status, 0, rated.stdout.split('\n').at(-2) ?? '')
})

async function readRules (name: string): Promise<string> {
  return await readFile(`deploy/prometheus/${name}.yml`, 'utf8')
}

/** Returns the expressions of the alerts without their thresholds, so that a healthy server has a series too. */
async function alertExpressions (): Promise<string[]> {
  const text = await readRules('alerts')
  const blocks = [...text.matchAll(/expr: >-\n((?: {10}.*\n)+)/g)].map(([, block]) => block!.replaceAll(/\s+/g, ' '))
  return blocks.map((expression) => expression.trim().replace(/ (?:==|<|>) [\d.* ]+$/, ''))
}

async function panelExpressions (): Promise<string[]> {
  const { panels } = JSON.parse(await readFile('deploy/grafana/playgate.json', 'utf8')) as {
    panels: Array<{ targets: Array<{ expr: string }> }>
  }
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '1m')))
}

/** Starts a Prometheus with the configuration of deploy/, which scrapes a server every second. Returns its origin. */
async function startPrometheus (t: Pick<Test, 'teardown'>, target: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-prometheus-'))
  await mkdir(join(folder, 'data'))
  const config = (await readRules('prometheus')).replace('15s', '1s').replace('127.0.0.1:8000', target)
  await writeFile(join(folder, 'prometheus.yml'), config)
  await writeFile(join(folder, 'alerts.yml'), await readRules('alerts'))
  await writeFile(join(folder, 'playgate.token'), TOKEN)
  const port = await freePort()
  const child = spawn(
    'prometheus',
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error'
    ],
    { stdio: 'ignore' }
  )
  const ended = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  const origin = `http://127.0.0.1:${port}`
  await eventually('Prometheus is ready', async () => (await call(origin, '/-/ready')).status === 200)
  return origin
}

/** Returns how many series an expression has. */
async function query (origin: string, expression: string): Promise<number> {
  const { status, body } = await call(origin, `/api/v1/query?query=${encodeURIComponent(expression)}`)
  if (status !== 200) throw new Error(`${expression}: ${JSON.stringify(body)}`)
  return (body as { data: { result: unknown[] } }).data.result.length
}

/** Makes requests until Prometheus has surely seen the series of each route before and after an increase. */
async function useEveryKindOfRoute (origin: string): Promise<void> {
  const token = await newToken(origin, 'ada@example.org')
  const media = await newLinkedMedia(overHttp(origin), callerOf(token))
  const end = performance.now() + 4000
  while (performance.now() < end) {
    await call(origin, '/media')
    await call(origin, `/media/${media}/view`, { method: 'POST', json: {} })
    await call(origin, '/auth/login', { json: { email: 'ada@example.org', password: 'a wrong password' } })
    await call(origin, '/missing')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
