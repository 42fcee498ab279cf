import { createHash, randomInt } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { engine, testEnvironment } from '../../../support/test-app.js'
import { call, eventually, startServer } from '../../../support/server-process.js'
import { callerOf, form, newLinkedMedia, newToken, overHttp } from '../../../support/client.js'
import { h264, make, noFfmpeg, picture, tone } from '../../../support/ffmpeg.js'
import { startNginx, withoutNginx } from '../../../support/nginx-process.js'
import { ask, noiseWav } from '../../../support/raw-http.js'

// The configurations of deploy/ in front of real servers: two on Postgres, where several may run.

const MiB = 1024 * 1024

t.test('behind nginx', { skip: withoutNginx }, async (t) => {
  const redis: Record<string, string> =
    engine === 'postgres' && process.env.TEST_REDIS_URL ? { REDIS_URL: process.env.TEST_REDIS_URL } : {}
  const { env } = await testEnvironment(t, { ...redis, TRUSTED_PROXIES: '127.0.0.1' })
  const servers = await Promise.all(Array.from({ length: engine === 'postgres' ? 2 : 1 }, () => startServer(t, env)))
  const nginx = await startNginx(
    t,
    'nginx-compose.conf',
    servers.map(({ origin }) => origin)
  )
  const token = await newToken(nginx.origin, 'owner@example.org')
  const bearer = { authorization: `Bearer ${token}` }
  const file = noiseWav(5 * MiB)
  const { headers, payload } = form([
    { name: 'title', value: 'Noise' },
    { name: 'type', value: 'audio' },
    { name: 'file', value: file, fileName: 'noise.wav', contentType: 'audio/wav' }
  ])
  let id = ''

  await t.test('an upload arrives whole, under every name of its path', async (t) => {
    for (const path of ['/media', '/api/v1/media', '/media/media/']) {
      const reply = await ask(nginx.origin, path, {
        method: 'POST',
        headers: { ...headers, ...bearer, 'content-length': String(payload.length) },
        body: payload
      })
      t.equal(reply.status, 201, reply.body.toString())
      const media = JSON.parse(reply.body.toString()) as { id: string; sha256: string }
      t.equal(media.sha256, createHash('sha256').update(file).digest('hex'))
      id = media.id
    }
    const small = await ask(nginx.origin, '/auth/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.alloc(2 * MiB, ' ')
    })
    t.equal(small.status, 413, 'what is no upload may not be large')
  })

  const link = async (headers = {}) =>
    new URL((await call(nginx.origin, `/media/${id}/stream-url`, { token, headers })).body.stream_url as string)

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
      const { status, body } = await ask(nginx.origin, pathname + search, {
        headers: { range: `bytes=${start}-${end}` }
      })
      if (status !== 206 || !body.equals(file.subarray(start, end + 1))) wrong++
    }
    t.equal(wrong, 0)
    t.match(await ask(nginx.origin, pathname + search, { headers: { range: 'bytes=-1' } }), {
      status: 206,
      headers: { 'content-range': `bytes ${file.length - 1}-${file.length - 1}/${file.length}` }
    })
  })

  await t.test('the address of a viewer is the one that nginx saw, whatever the client says', async (t) => {
    const media = await newLinkedMedia(overHttp(nginx.origin), callerOf(token))
    const forged = {
      'x-forwarded-for': '203.0.113.7, 127.0.0.1',
      'x-real-ip': '203.0.113.7',
      forwarded: 'for=203.0.113.7',
      'x-forwarded-host': 'evil.example.org'
    }
    for (const headers of [{}, forged]) {
      const { status, body } = await ask(nginx.origin, `/media/${media}/view`, {
        method: 'POST',
        from: '127.0.0.9',
        headers
      })
      t.equal(status, 200)
      t.equal((JSON.parse(body.toString()) as { viewer_ip: string }).viewer_ip, '127.0.0.9')
    }
    t.match((await call(nginx.origin, `/media/${media}/analytics`, { token })).body, { total_views: 2, unique_ips: 1 })
  })

  await t.test('links have the host that the client asked', async (t) => {
    const reply = await ask(nginx.origin, `/media/${id}/stream-url`, {
      headers: {
        ...bearer,
        host: 'media.example.org:8443',
        'x-forwarded-host': 'evil.example.org',
        'x-forwarded-proto': 'https'
      }
    })
    t.equal(
      new URL((JSON.parse(reply.body.toString()) as { stream_url: string }).stream_url).origin,
      'http://media.example.org:8443'
    )
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
      const statuses = await Promise.all(
        Array.from(
          { length: 20 },
          async () => (await ask(nginx.origin, pathname + search, { headers: { range: 'bytes=0-99' } })).status
        )
      )
      t.same(new Set(statuses), new Set([206]))
    })
  }

  await t.test('no link is in a log', async (t) => {
    const { pathname, search } = await link()
    await ask(nginx.origin, pathname + search, { headers: { referer: `http://media.example.org${pathname}${search}` } })
    for (const mistake of [
      pathname + search.replace('?', '%3F'),
      `${pathname}/${search.slice(1)}`,
      `/${search.slice(1)}`
    ]) {
      await ask(nginx.origin, mistake)
    }
    const log = await nginx.accessLog()
    t.match(log, `"path":"${pathname}","status":200`)
    t.notMatch(log + (await nginx.errorLog()), /sig=|kid=/)
    for (const line of log.trim().split('\n')) JSON.parse(line)
  })
})

t.test('with STREAM_OFFLOAD=x-accel nginx sends what the server decided', { skip: withoutNginx }, async (t) => {
  const { env, folder } = await testEnvironment(t, { TRUSTED_PROXIES: '127.0.0.1', STREAM_OFFLOAD: 'x-accel' })
  const server = await startServer(t, env)
  const nginx = await startNginx(t, 'nginx-compose.conf', [server.origin], join(folder, 'uploads'))
  const token = await newToken(server.origin, 'owner@example.org')
  const file = noiseWav(1 * MiB)
  const uploaded = await ask(nginx.origin, '/media/uploads?title=Noise%20%C3%A9&type=audio', {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}`, 'content-length': String(file.length) },
    body: file
  })
  t.equal(uploaded.status, 201, uploaded.body.toString())
  const { id } = JSON.parse(uploaded.body.toString()) as { id: string }
  const minted = async () =>
    new URL((await call(nginx.origin, `/media/${id}/stream-url`, { token })).body.stream_url as string)
  const { pathname, search } = await minted()
  const target = pathname + search
  const views = async () => (await call(server.origin, `/media/${id}/analytics`, { token })).body.total_views
  const link = (await ask(server.origin, target, { method: 'HEAD' })).headers
  const etag = link.etag!
  const lastModified = link['last-modified']!
  const before = new Date(Date.parse(lastModified) - 10_000).toUTCString()
  const after = new Date(Date.parse(lastModified) + 10_000).toUTCString()

  await t.test('continuations count nothing', async (t) => {
    t.equal((await ask(nginx.origin, target, { headers: { range: 'bytes=100-' } })).status, 206)
    t.equal((await ask(nginx.origin, target, { method: 'HEAD' })).status, 200)
    t.equal(await views(), 0)
  })

  // By each request the answer of nginx is the answer of the server itself: status, headers that count, bytes.
  const compared = [
    'content-type',
    'content-length',
    'content-range',
    'accept-ranges',
    'etag',
    'last-modified',
    'content-disposition',
    'content-security-policy',
    'cross-origin-resource-policy',
    'referrer-policy',
    'x-content-type-options',
    'access-control-allow-origin',
    'vary'
  ]
  const asked: Array<[name: string, headers: Record<string, string>, method?: string]> = [
    ['whole', {}],
    ['first bytes', { range: 'bytes=0-1' }],
    ['middle', { range: 'bytes=1000-200000' }],
    ['rest', { range: 'bytes=500000-' }],
    ['suffix', { range: 'bytes=-77' }],
    ['a suffix longer than the file', { range: 'bytes=-99999999' }],
    ['an end past the file', { range: 'bytes=5-99999999' }],
    ['digits without end', { range: `bytes=5-${'9'.repeat(40)}` }],
    ['past the end', { range: 'bytes=99999999-' }],
    ['no bytes', { range: 'bytes=-0' }],
    ['backwards', { range: 'bytes=5-1' }],
    ['malformed', { range: 'bytes=a-b' }],
    ['another unit', { range: 'seconds=0-1' }],
    ['with a tab', { range: 'bytes=\t0-9' }],
    ['in capitals', { range: 'BYTES=0-9' }],
    ['several', { range: 'bytes=0-1,5-9' }],
    ['If-Range, the tag', { range: 'bytes=0-9', 'if-range': etag }],
    ['If-Range, another tag', { range: 'bytes=0-9', 'if-range': '"other"' }],
    ['If-Range, a weak tag', { range: 'bytes=0-9', 'if-range': `W/${etag}` }],
    ['If-Range, a date', { range: 'bytes=0-9', 'if-range': lastModified }],
    ['If-Range, an older date', { range: 'bytes=0-9', 'if-range': before }],
    ['If-None-Match, the tag', { 'if-none-match': etag }],
    ['If-None-Match, another tag', { 'if-none-match': '"other"', 'if-modified-since': after }],
    ['If-Modified-Since', { 'if-modified-since': lastModified }],
    ['If-Modified-Since, before', { 'if-modified-since': before }],
    ['If-Match', { 'if-match': '"other"' }],
    ['If-Unmodified-Since', { 'if-unmodified-since': before }],
    ['HEAD', {}, 'HEAD'],
    ['HEAD of a range', { range: 'bytes=0-1' }, 'HEAD'],
    ['from another site', { origin: 'http://localhost:3000' }],
    ['with a token', { authorization: `Bearer ${token}`, range: 'bytes=9-' }]
  ]
  for (const [name, headers, method] of asked) {
    await t.test(name, async (t) => {
      const where = headers.authorization === undefined ? target : pathname
      const [direct, offloaded] = await Promise.all(
        [server.origin, nginx.origin].map((origin) => ask(origin, where, { headers, method }))
      )
      t.equal(offloaded!.status, direct!.status)
      for (const header of compared) t.equal(offloaded!.headers[header], direct!.headers[header], header)
      t.ok(offloaded!.body.equals(direct!.body) || direct!.status >= 400, 'the same bytes')
      // The seconds left may differ by one.
      t.equal(
        offloaded!.headers['cache-control']?.replace(/\d+$/, ''),
        direct!.headers['cache-control']?.replace(/\d+$/, '')
      )
      t.ok(offloaded!.headers['x-request-id'])
      t.equal(offloaded!.headers['x-accel-redirect'], undefined)
    })
  }

  await t.test('a start counts one view, and nginx did send the bytes', async (t) => {
    t.equal(await views(), 1, 'by all of these requests, which came by one link')
    const fresh = await minted()
    const { body } = await ask(nginx.origin, fresh.pathname + fresh.search, { headers: { range: 'bytes=0-' } })
    t.ok(body.equals(file))
    t.equal(await views(), 2)
    const direct = await ask(server.origin, target, { headers: { 'x-forwarded-for': '203.0.113.7' } })
    t.match(direct.headers['x-accel-redirect'], /^\/_blobs\/whole\//, 'from the proxy: a name to send')
    t.equal(direct.body.length, 0)
  })

  await t.test('the files have no address of their own, and no link is in a log', async (t) => {
    const [blob] = await readdir(join(folder, 'uploads', 'blobs'))
    for (const path of [`/_blobs/whole/${blob}`, `/_blobs/ranges/${blob}`, `/_blobs/${blob}`, '/_admit']) {
      t.equal((await ask(nginx.origin, path)).status, 404, path)
    }
    t.match(await ask(nginx.origin, target.replace(/sig=.{5}/, 'sig=AAAAA')), { status: 403 })
    const log = await nginx.accessLog()
    t.match(log, `"path":"${pathname}","status":206`)
    t.notMatch(log + (await nginx.errorLog()), /sig=|kid=/)
    for (const line of log.trim().split('\n')) if (!line.includes('"/_blobs/')) t.notMatch(line, blob)
  })
})

t.test(
  'segments of protected streams are kept by nginx, and asked for each time',
  { skip: withoutNginx || noFfmpeg },
  async (t) => {
    const { env, folder } = await testEnvironment(t, { TRUSTED_PROXIES: '127.0.0.1' })
    const server = await startServer(t, env)
    const nginx = await startNginx(t, 'nginx-compose.conf', [server.origin])
    const token = await newToken(server.origin, 'owner@example.org')
    const film = await readFile(await make(join(folder, 'film.mp4'), ...picture(20), ...tone(20), ...h264, '-g', '25'))
    const headers = { authorization: `Bearer ${token}`, 'content-length': String(film.length) }
    const { id } = JSON.parse(
      (
        await ask(server.origin, '/media/uploads?title=Film&type=video&protection=encrypted', {
          method: 'PUT',
          headers,
          body: film
        })
      ).body.toString()
    ) as { id: string }
    await eventually(
      'it is packaged',
      async () => (await call(server.origin, `/media/${id}`, { token })).body.status === 'ready'
    )
    const minted = async () =>
      new URL(
        (await call(nginx.origin, `/media/${id}/stream-url`, { token })).body.stream_url as string
      ).pathname.replace('master.m3u8', '')
    const one = await minted()
    const other = await minted()
    const segment = await ask(server.origin, `${one}segment-1.ts`)
    t.equal(segment.status, 200)
    for (const path of [one, other, one]) {
      const kept = await ask(nginx.origin, `${path}segment-1.ts`)
      t.equal(kept.status, 200)
      t.ok(kept.body.equals(segment.body), 'the same bytes')
      t.match(kept.headers, {
        'content-type': 'video/mp2t',
        'access-control-allow-origin': '*',
        'cache-control': /^private, max-age=\d+$/
      })
    }
    const ids = await Promise.all(
      [0, 1].map(async () => (await ask(nginx.origin, `${one}segment-1.ts`)).headers['x-request-id'])
    )
    t.not(ids[0], ids[1], 'each answer has its own request id')
    const sent = /playgate_streamed_bytes_total (\d+)/.exec(
      (await call(server.origin, '/metrics')).body.text as string
    )?.[1]
    t.equal(Number(sent), 2 * segment.body.length, 'the server sent it once itself, and once to nginx')
    t.equal((await ask(nginx.origin, `${one}segment-99999.ts`)).status, 404)
    for (const path of [one, other, one]) t.equal((await ask(nginx.origin, `${path}segment-0.ts`)).status, 200)
    t.equal(
      (await call(server.origin, `/media/${id}/analytics`, { token })).body.total_views,
      2,
      'a view for each link'
    )
    await call(server.origin, `/media/${id}/stream-url`, { token, method: 'DELETE' })
    const refused = await ask(nginx.origin, `${one}segment-1.ts`)
    t.equal(refused.status, 403, 'a revoked link ends at once, whatever is kept')
    t.equal((JSON.parse(refused.body.toString()) as { code: string }).code, 'stream_link_revoked')
    t.notMatch((await nginx.accessLog()) + (await nginx.errorLog()), one.split('/')[2], 'no token is in a log')
  }
)

t.test('nginx.conf, with TLS', { skip: withoutNginx }, async (t) => {
  const { env } = await testEnvironment(t, { TRUSTED_PROXIES: '127.0.0.1' })
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  const id = await newLinkedMedia(overHttp(server.origin), callerOf(token))
  const nginx = await startNginx(t, 'nginx.conf', [server.origin])
  const moved = await ask(nginx.origin, '/media?page=2', { headers: { host: 'media.example.org' } })
  t.match(moved, { status: 308, headers: { location: 'https://media.example.org/media?page=2' } })
  const body = await new Promise<string>((resolve, reject) => {
    request(
      {
        host: '127.0.0.1',
        port: nginx.tlsPort,
        path: `/media/${id}/stream-url`,
        headers: { host: 'media.example.org' },
        rejectUnauthorized: false,
        agent: false
      },
      (reply) => {
        let text = ''
        reply
          .setEncoding('utf8')
          .on('data', (chunk: string) => {
            text += chunk
          })
          .on('end', () => resolve(text))
      }
    )
      .on('error', reject)
      .end()
  })
  t.match((JSON.parse(body) as { stream_url: string }).stream_url, /^https:\/\/media\.example\.org\/media\/stream\//)
})
