import type { InjectOptions, Response } from 'light-my-request'
import { readFile, readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../../src/config/config.js'
import { redactUrl } from '../../../../src/http/redact-url.js'
import { loadSecrets, type KeyPurpose } from '../../../../src/secrets/keyring.js'
import { engine, queryDatabase, testEnvironment, type TestApp } from '../../../support/test-app.js'
import { startServer } from '../../../support/server-process.js'
import { ask } from '../../../support/raw-http.js'
import { callAs, everyone, newScene, newWorld, operations, type Scene } from '../../../support/operations.js'

const SECRET_KEY = 'leak-master-Vt4Yb8Ww1KqZr6Ns0Lm3Hx7Jd2Cf5Pg9'
const PREVIOUS_KEY = 'leak-previous-Aa4Yb8Ww1KqZr6Ns0Lm3Hx7Jd2Cf5P'
const METRICS_TOKEN = 'leak-metrics-Qe4Yb8Ww1KqZr6Ns0Lm3Hx7Jd2Cf5Pg'
const DATABASE_PASSWORD = 'leak-database-Zz4Yb8Ww1KqZr6Ns'
const PASSWORDS = ['secure_password123', 'a wrong one']
const purposes: KeyPurpose[] = ['link', 'jwt', 'media', 'viewer-address']

/** All that was handed out or sent in, and must not be found anywhere else. */
class Secrets {
  readonly #known = new Set<string>([SECRET_KEY, PREVIOUS_KEY, METRICS_TOKEN, DATABASE_PASSWORD, ...PASSWORDS])

  add (secret: string | Buffer): void {
    for (const form of Buffer.isBuffer(secret)
      ? (['hex', 'base64', 'base64url'] as const).map((encoding) => secret.toString(encoding))
      : [secret]) {
      this.#known.add(form)
    }
  }

  /** Learns what an answer hands out: tokens, the signed parts of links, content keys. */
  learn ({ statusCode, body, rawPayload, headers }: Response, url: string): void {
    if (statusCode >= 300) return
    if (url.endsWith('content.key')) this.add(rawPayload)
    if (!/json/.test(String(headers['content-type']))) return
    for (const [, token] of body.matchAll(/"(?:access_token|refresh_token|token)":"([^"]+)"/g)) this.add(token!)
    for (const [, token] of body.matchAll(/"access_token":"[^"]+\.([^".]+)"/g)) this.add(token!)
    for (const [, token] of body.matchAll(/\/reset#([\w-]{43})"/g)) this.add(token!)
    for (const [, key, secret] of body.matchAll(/"key":"(pgk_[\da-f]{32}_([\w-]{43}))"/g)) {
      this.add(key!)
      this.add(secret!)
    }
    for (const [, sig] of body.matchAll(/[?&]sig=([\w-]{43})/g)) this.add(sig!)
    for (const [, token] of body.matchAll(/\/hls\/([^/"]+)\//g)) {
      this.add(token!)
      this.add(token!.split('.').at(-1)!)
    }
  }

  get size (): number {
    return this.#known.size
  }

  /** Which of them a text holds, in whatever case, as it is or percent-encoded. */
  in (text: string): string[] {
    const whole = text.toLowerCase()
    return [...this.#known].filter(
      (secret) => whole.includes(secret.toLowerCase()) || whole.includes(encodeURIComponent(secret).toLowerCase())
    )
  }
}

/** A server process as the helpers take one, which notes every answer. */
async function remoteServer (
  t: Test,
  secrets: Secrets
): Promise<
  TestApp & { refusals: string[]; output: () => string; stop: () => Promise<number | string>; origin: string }
> {
  const { env, folder } = await testEnvironment(t, {
    LOG_LEVEL: 'trace',
    SECRET_KEY,
    SECRET_KEYS_PREVIOUS: PREVIOUS_KEY,
    METRICS_TOKEN
  })
  if (engine === 'postgres') {
    const url = new URL(env.DATABASE_URL!)
    // Where the suite's own Postgres asks for none.
    url.password ||= DATABASE_PASSWORD
    env.DATABASE_URL = url.href
  }
  const config = loadConfig(env)
  const { origin, output, end } = await startServer(t, env)
  const refusals: string[] = []

  async function inject (options: InjectOptions): Promise<Response> {
    const {
      method = 'GET',
      url,
      headers = {},
      payload
    } = options as { method?: string; url: string; headers?: Record<string, string>; payload?: unknown }
    const body =
      payload === undefined
        ? undefined
        : Buffer.isBuffer(payload)
          ? payload
          : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
    const typed: Record<string, string> =
      typeof payload === 'object' && !Buffer.isBuffer(payload) ? { 'content-type': 'application/json' } : {}
    if (body !== undefined) typed['content-length'] = String(body.length)
    const reply = await ask(origin, url, { method, headers: { ...typed, ...headers }, body })
    const response = {
      statusCode: reply.status,
      headers: reply.headers,
      body: reply.body.toString(),
      rawPayload: reply.body,
      json: () => JSON.parse(reply.body.toString()) as unknown
    } as unknown as Response
    secrets.learn(response, url)
    if (reply.status >= 400) refusals.push(`${JSON.stringify(reply.headers)} ${response.body}`)
    return response
  }

  return {
    app: undefined as never,
    config,
    env,
    folder,
    clock: { now: Date.now(), advance () {} },
    inject,
    query: (sql) => queryDatabase(config, sql),
    listen: async () => origin,
    storedFiles: async () => [],
    refusals,
    output,
    origin,
    stop: () => end('SIGTERM')
  }
}

/** Everything in the database: each row of each table, and on SQLite the bytes of its files. */
async function databaseText ({ query, folder }: TestApp): Promise<string> {
  const names = await query<{ name: string }>(
    engine === 'sqlite'
      ? "select name from sqlite_master where type = 'table'"
      : "select table_name as name from information_schema.tables where table_schema = 'public'"
  )
  const rows = await Promise.all(names.map(async ({ name }) => JSON.stringify(await query(`select * from "${name}"`))))
  if (engine === 'postgres') return rows.join('\n')
  const data = join(folder, 'data')
  const files = (await readdir(data)).filter((name) => name.startsWith('playgate.db'))
  return [...rows, ...(await Promise.all(files.map((name) => readFile(join(data, name), 'latin1'))))].join('\n')
}

t.test('no secret is in a log, a metric, an error or the database', async (t) => {
  const secrets = new Secrets()
  const server = await remoteServer(t, secrets)
  for (const purpose of purposes) {
    const { current } = loadSecrets(server.config).keyring(purpose)
    secrets.add(current.key)
  }
  const world = await newWorld(server)
  let scene = await newScene(server, world)

  await t.test('after every operation, by who may and by who may not', async (t) => {
    for (const [name, cases] of Object.entries(operations)) {
      // Here it has a token of its own, which is tried below.
      if (name === 'GET /metrics') continue
      for (const one of cases) {
        const able = everyone.find((who) => one.cells[who] < 300) ?? 'admin'
        for (const who of new Set(['nobody', 'disabled', able] as const)) {
          const { statusCode } = await callAs(server, name, one, scene, who)
          t.equal(statusCode, one.cells[who], `${name} ${one.on ?? ''} by ${who}`)
        }
        if (/^(DELETE|PATCH)/.test(name) || name === 'POST /subscribe') scene = await newScene(server, world)
      }
    }
  })

  await t.test('and secrets that were put where they do not belong', async () => {
    await mistakes(server, scene)
  })

  await t.test('and failures of our own', async (t) => {
    const { owner } = scene.people
    const used = ['accounts', 'media', 'view_totals', 'lectures']
    for (const table of used) await server.query(`alter table ${table} rename to ${table}_away`)
    // What is known of accounts and media is a second old at most.
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const failures = [
      await server.inject({
        method: 'POST',
        url: '/auth/login',
        payload: { email: owner!.email, password: PASSWORDS[0] }
      }),
      await server.inject({
        method: 'POST',
        url: '/auth/signup',
        payload: { email: 'late@example.org', password: PASSWORDS[0] }
      }),
      await server.inject({ url: '/media', headers: owner!.headers }),
      await server.inject({ url: scene.link }),
      await server.inject({ url: scene.hlsPath })
    ]
    t.same(new Set(failures.map(({ statusCode }) => statusCode)), new Set([500]))
    for (const table of used) await server.query(`alter table ${table}_away rename to ${table}`)
  })

  const metrics = await server.inject({ url: '/metrics', headers: { authorization: `Bearer ${METRICS_TOKEN}` } })
  t.equal(metrics.statusCode, 200)
  const database = await databaseText(server)
  t.equal(await server.stop(), 0)
  const log = server.output()

  t.ok(secrets.size > 50, `${secrets.size} secrets are looked for`)
  t.ok(log.split('\n').length > 200 && log.includes('"level":50'), 'the log has all of it')
  t.ok(database.includes(scene.people.owner!.email) && database.includes(scene.privateMediaId), 'the database was read')
  t.ok(server.refusals.length > 100)
  t.same(secrets.in(log), [], 'the log')
  t.same(secrets.in(metrics.body), [], 'the metrics')
  t.same(secrets.in(database), [], 'the database')
  t.same(secrets.in(server.refusals.join('\n')), [], 'the errors')
  t.comment(
    `figure: ${engine}: ${secrets.size} secrets, 0 found in ${log.length} bytes of log, ${metrics.body.length} of ` +
      `metrics, ${database.length} of database, ${server.refusals.length} errors`
  )
})

/** Requests of people, proxies and programs that mistook where something belongs. */
async function mistakes (server: TestApp & { origin: string }, { link, hlsPath, people }: Scene): Promise<void> {
  const { token, headers, email } = people.owner!
  const [path, query] = link.split('?') as [string, string]
  const hlsToken = hlsPath.split('/')[2]!
  const encoded = (text: string) => [...text].map((character) => `%${character.charCodeAt(0).toString(16)}`).join('')
  const urls = [
    `/auth/me?access_token=${token}`,
    `/auth/me?t=${token}`,
    `/${token}`,
    `/auth/me/${token}`,
    `/media/${token}`,
    `/problems/${token}`,
    `/nope?x[token]=${token}`,
    `/auth/me?access%5ftoken=${token}`,
    `/media?q=${token}`,
    `${link}&t=1`,
    `${path}?${query.replace('sig=', 'SIG=')}`,
    `${path}?${query.replace('sig=', '%73ig=')}`,
    `${path}?${query.replaceAll('=', '%3D')}`,
    `${path}?${query.replaceAll('&', '%26')}`,
    `${path}?${query.replaceAll('&', '&amp;')}`,
    `${path}?${query.replaceAll('&', ';')}`,
    `${path}?${query.replace(/sig=(.*)/, (_, sig: string) => `sig=${encoded(sig)}`)}`,
    `${path}%3F${query}`,
    `${path}/${query}`,
    `${path}#${query}`,
    `${path}%23${query}`,
    `/${query}`,
    `/nope${path}?${query}`,
    `${path}??${query}`,
    `/api/v1${link}`,
    `/media${link}`,
    encodeURI(link).replace('/media', '//media'),
    ...[link, hlsPath].map(
      (earlier) =>
        `${path.replace('/stream/', '/')}/stream-url?continues=${encodeURIComponent(server.origin + earlier)}`
    ),
    `/embed/x?src=${encodeURIComponent(server.origin + link)}`,
    `/${encodeURIComponent(server.origin + link)}`,
    `/hls/${hlsToken}`,
    `/HLS/${hlsToken}/x/master.m3u8`,
    `//hls/${hlsToken}/x`,
    `/hls//${hlsToken}/x`,
    `/hls/x/${hlsToken}/x`,
    `/%68ls/${hlsToken}/x/y`,
    `/api/v1${hlsPath}`,
    `${hlsPath}/x`,
    `${hlsPath}%2f..`,
    hlsPath.replaceAll('.', '%2e'),
    hlsPath.replace('/hls/', '/hls%2f')
  ]
  for (const url of urls) await server.inject({ url, headers })
  for (const payload of [
    `{"email":"${email}","password":"${PASSWORDS[0]}"`,
    `{"email":"${email}","password":"${PASSWORDS[0]}"}}`,
    { email: PASSWORDS[0], password: email },
    { email, password: [PASSWORDS[0]] },
    { email, password: PASSWORDS[0], [PASSWORDS[0]!]: 1 }.email
  ]) {
    for (const url of ['/auth/login', '/auth/signup', '/auth/register']) {
      await server.inject({
        method: 'POST',
        url,
        headers: { 'content-type': 'application/json' },
        payload: payload as object
      })
    }
  }
  await server.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: `username=${PASSWORDS[0]}&password=${PASSWORDS[0]}&password=${PASSWORDS[0]}`
  })
  await server.inject({
    method: 'POST',
    url: '/media',
    headers: { ...headers, 'content-type': `multipart/form-data; boundary=${token.slice(-43)}` },
    payload: `--${token}`
  })
  await server.inject({
    url: '/auth/me',
    headers: {
      authorization: `Basic ${Buffer.from(`${email}:${PASSWORDS[0]}`).toString('base64')}`,
      cookie: `token=${token}`,
      referer: server.origin + link
    }
  })
  await server.inject({ url: '/metrics', headers: { authorization: `Bearer ${METRICS_TOKEN}x` } })
  const { hostname, port } = new URL(server.origin)
  for (const line of [
    `GET ${link} HTTP/9.9`,
    `GET ${link}`,
    `${token} / HTTP/1.1`,
    `GET / HTTP/1.1\r\nauthorization ${token}`,
    `GET ${link} HTTP/1.1\r\nhost: ${token}.example.org`,
    `GET ${server.origin}${link} HTTP/1.0`
  ]) {
    await new Promise((resolve) =>
      connect(Number(port), hostname)
        .on('close', resolve)
        .on('error', () => {})
        .resume()
        .end(`${line}\r\nconnection: close\r\n\r\n`)
    )
  }
}

t.test('a URL is shown without what is secret in it, and otherwise as it is', async (t) => {
  const sig = 'qDJTLKvOCgGwM1qF_7BjFFInQXi9sllmyj98x4r-wbo'
  const id = '019377a4-3f00-7000-8000-000000000000'
  const search = `/media?q=${encodeURIComponent('Привет'.repeat(4))}`
  const cases: Array<[url: string, shown: string]> = [
    ['/media?page=2&size=10&q=a%20talk', '/media?page=2&size=10&q=a%20talk'],
    [`/media/${id}/stream-url?expires_in=auto`, `/media/${id}/stream-url?expires_in=auto`],
    [
      `/media/stream/${id}?exp=1&lid=${id}&sub=anon&sig=${sig}`,
      `/media/stream/${id}?exp=1&lid=${id}&sub=anon&sig=[redacted]`
    ],
    [`/media/stream/${id}?%73ig=${sig}&t=1`, `/media/stream/${id}?%73ig=[redacted]&t=1`],
    [`/media/stream/${id}%3Fexp=1&sig=${sig}`, `/media/stream/${id}%3Fexp=1&sig=[redacted]`],
    [`/x?y=${sig.slice(0, 20)}%2D%5f${sig.slice(20)}`, '/x?y=[redacted]'],
    [`/hls/1.1.k.${id}.anon.${sig}/${id}/media.m3u8`, `/hls/[redacted]/${id}/media.m3u8`],
    ['/auth/me?token=short', '/auth/me?token=[redacted]'],
    [search, search]
  ]
  for (const [url, shown] of cases) t.equal(redactUrl(url), shown)
})

t.test('the logs of nginx name nothing that may carry a link', async (t) => {
  const harmless =
    /^(time_iso8601|remote_addr|request_method|host|logged_path|status|body_bytes_sent|request_time|upstream_addr|upstream_status|sent_http_x_request_id|http_user_agent)$/
  const files = (await readdir('deploy')).filter((name) => /\.(conf|inc)$/.test(name))
  const texts = new Map(
    await Promise.all(
      files.map(
        async (name) => [name, (await readFile(join('deploy', name), 'utf8')).replaceAll(/^\s*#.*$/gm, '')] as const
      )
    )
  )
  const formats = new Set<string>()
  for (const [file, text] of texts) {
    for (const [, name, format] of text.matchAll(/log_format\s+(\S+)([^;]*);/g)) {
      formats.add(name!)
      for (const [, variable] of format!.matchAll(/\$\{?(\w+)/g)) {
        t.match(variable, harmless, `${file}: $${variable} in ${name}`)
      }
    }
    for (const [, to] of text.matchAll(/\berror_log\s+([^;]*);/g)) {
      t.match(to, / (crit|alert|emerg)$/, `${file}: errors quote the request line`)
    }
    if (/\bhttp \{/.test(text)) t.match(text, /error_log/, `${file}: the level of errors is set`)
    const paths = /map \$uri \$logged_path \{\n([^]*?)\n *\}\n/.exec(text)?.[1]
    if (text.includes('log_format')) {
      t.match(paths, /hls.*\[redacted\][^]*\{40\}.*\[redacted\]/, `${file}: tokens in paths are left out`)
    }
  }
  for (const [file, text] of texts) {
    for (const [, to] of text.matchAll(/\baccess_log\s+([^;]*);/g)) {
      t.ok(to === 'off' || formats.has(to!.split(/\s+/)[1]!), `${file}: access_log ${to}`)
    }
  }
  t.same(formats, new Set(['no_query']))
})
