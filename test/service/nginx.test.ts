import { createHash, randomInt } from 'node:crypto'
import { request } from 'node:https'
import t from 'tap'
import { engine, form, testEnvironment } from '../helper.js'
import { call, newLinkedMedia, newToken, startServer } from '../server-process.js'
import { startNginx, withoutNginx } from './nginx-process.js'
import { ask, noiseWav } from './wire.js'

// The configurations of deploy/ in front of real servers: two on Postgres, where several may run.

const MiB = 1024 * 1024

t.test('behind nginx', { skip: withoutNginx }, async (t) => {
  const redis: Record<string, string> = engine === 'postgres' && process.env.TEST_REDIS_URL ? { REDIS_URL: process.env.TEST_REDIS_URL } : {}
  const { env } = await testEnvironment(t, { ...redis, TRUSTED_PROXIES: '127.0.0.1' })
  const servers = await Promise.all(Array.from({ length: engine === 'postgres' ? 2 : 1 }, () => startServer(t, env)))
  const nginx = await startNginx(t, 'nginx-compose.conf', servers.map(({ origin }) => origin))
  const token = await newToken(nginx.origin, 'owner@example.org')
  const bearer = { authorization: `Bearer ${token}` }
  const file = noiseWav(5 * MiB)
  const { headers, payload } = form([{ name: 'title', value: 'Noise' }, { name: 'type', value: 'audio' }, { name: 'file', value: file, fileName: 'noise.wav', contentType: 'audio/wav' }])
  let id = ''

  await t.test('an upload arrives whole, under every name of its path', async (t) => {
    for (const path of ['/media', '/api/v1/media', '/media/media/']) {
      const reply = await ask(nginx.origin, path, { method: 'POST', headers: { ...headers, ...bearer, 'content-length': String(payload.length) }, body: payload })
      t.equal(reply.status, 201, reply.body.toString())
      const media = JSON.parse(reply.body.toString()) as { id: string, sha256: string }
      t.equal(media.sha256, createHash('sha256').update(file).digest('hex'))
      id = media.id
    }
    const small = await ask(nginx.origin, '/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: Buffer.alloc(2 * MiB, ' ') })
    t.equal(small.status, 413, 'what is no upload may not be large')
  })

  const link = async (headers = {}) => new URL((await call(nginx.origin, `/media/${id}/stream-url`, { token, headers })).body.stream_url as string)

  await t.test('streams and ranges are the bytes of the file, under every name of their path', async (t) => {
    const { pathname, search } = await link()
    for (const path of [pathname, `/api/v1${pathname}`, `/media/${id}/stream`, `/media/media/${id}/stream/`]) {
      const whole = await ask(nginx.origin, path + search)
      t.equal(whole.status, 200, path)
      t.ok(whole.body.equals(file))
    }
    let wrong = 0
    for (let round = 0; round < 50; round++) {
      const start = randomInt(file.length)
      const end = Math.min(file.length - 1, start + randomInt(200_000))
      const { status, body } = await ask(nginx.origin, pathname + search, { headers: { range: `bytes=${start}-${end}` } })
      if (status !== 206 || !body.equals(file.subarray(start, end + 1))) wrong++
    }
    t.equal(wrong, 0)
    t.match(await ask(nginx.origin, pathname + search, { headers: { range: 'bytes=-1' } }), { status: 206, headers: { 'content-range': `bytes ${file.length - 1}-${file.length - 1}/${file.length}` } })
  })

  await t.test('the address of a viewer is the one that nginx saw, whatever the client says', async (t) => {
    const media = await newLinkedMedia(nginx.origin, token)
    const forged = { 'x-forwarded-for': '203.0.113.7, 127.0.0.1', 'x-real-ip': '203.0.113.7', forwarded: 'for=203.0.113.7', 'x-forwarded-host': 'evil.example.org' }
    for (const headers of [{}, forged]) {
      const { status, body } = await ask(nginx.origin, `/media/${media}/view`, { method: 'POST', from: '127.0.0.9', headers })
      t.equal(status, 200)
      t.equal((JSON.parse(body.toString()) as { viewer_ip: string }).viewer_ip, '127.0.0.9')
    }
    t.match((await call(nginx.origin, `/media/${media}/analytics`, { token })).body, { total_views: 2, unique_ips: 1 })
  })

  await t.test('links have the host that the client asked', async (t) => {
    const reply = await ask(nginx.origin, `/media/${id}/stream-url`, { headers: { ...bearer, host: 'media.example.org:8443', 'x-forwarded-host': 'evil.example.org', 'x-forwarded-proto': 'https' } })
    t.equal(new URL((JSON.parse(reply.body.toString()) as { stream_url: string }).stream_url).origin, 'http://media.example.org:8443')
  })

  await t.test('health is open, metrics are not', async (t) => {
    for (const path of ['/livez', '/readyz', '/health']) t.equal((await call(nginx.origin, path)).status, 200, path)
    for (const path of ['/metrics', '/metrics/', '/api/v1/metrics', '/%6detrics', '//metrics', '/x/../metrics']) {
      const { status, body } = await ask(nginx.origin, path)
      t.not(status, 200, path)
      t.notMatch(body.toString(), 'playgate_', path)
    }
  })

  if (engine === 'postgres') {
    await t.test('a server that dies is not noticed', async (t) => {
      const { pathname, search } = await link()
      await servers[0]!.end()
      const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await ask(nginx.origin, pathname + search, { headers: { range: 'bytes=0-99' } })).status))
      t.same(new Set(statuses), new Set([206]))
    })
  }

  await t.test('no link is in a log', async (t) => {
    const { pathname, search } = await link()
    await ask(nginx.origin, pathname + search, { headers: { referer: `http://media.example.org${pathname}${search}` } })
    for (const mistake of [pathname + search.replace('?', '%3F'), `${pathname}/${search.slice(1)}`, `/${search.slice(1)}`]) await ask(nginx.origin, mistake)
    const log = await nginx.accessLog()
    t.match(log, `"path":"${pathname}","status":200`)
    t.notMatch(log + await nginx.errorLog(), /sig=|kid=/)
    for (const line of log.trim().split('\n')) JSON.parse(line)
  })
})

t.test('nginx.conf, with TLS', { skip: withoutNginx }, async (t) => {
  const { env } = await testEnvironment(t, { TRUSTED_PROXIES: '127.0.0.1' })
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  const id = await newLinkedMedia(server.origin, token)
  const nginx = await startNginx(t, 'nginx.conf', [server.origin])
  const moved = await ask(nginx.origin, '/media?page=2', { headers: { host: 'media.example.org' } })
  t.match(moved, { status: 308, headers: { location: 'https://media.example.org/media?page=2' } })
  const body = await new Promise<string>((resolve, reject) => {
    request({ host: '127.0.0.1', port: nginx.tlsPort, path: `/media/${id}/stream-url`, headers: { host: 'media.example.org' }, rejectUnauthorized: false, agent: false }, (reply) => {
      let text = ''
      reply.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => resolve(text))
    }).on('error', reject).end()
  })
  t.match((JSON.parse(body) as { stream_url: string }).stream_url, /^https:\/\/media\.example\.org\/media\/stream\//)
})
