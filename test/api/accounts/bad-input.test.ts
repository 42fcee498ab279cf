import { connect } from 'node:net'
import t from 'tap'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { signUpEverybody } from '../../support/client.js'

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE' | 'HEAD'
type Response = Awaited<ReturnType<TestApp['inject']>>
const json = { 'content-type': 'application/json' }
const unknownId = '019377a4-3f00-7000-8000-000000000000'
const password = 'secure_password123'

const notText = [5, true, null, ['a'], { a: 1 }]
const notLine = [...notText, '', '  \t ', 'a\0b', 'a\nb', 'a\u0007b', 'a\u0085b', '\ud800', 'a\udfffb']

/** Every JSON route, a body that is good, and by field what is bad. */
const bodies = (
  mediaId: string
): Array<{ method: Method; url: string; good: object; required: string[]; bad: Record<string, unknown[]> }> => [
  {
    method: 'POST',
    url: '/auth/signup',
    good: { email: 'x@example.org', password },
    required: ['email', 'password'],
    bad: { email: [...notLine, 'plain', `${'x'.repeat(256)}@b.org`], password: [...notLine, 'short', 'x'.repeat(73)] }
  },
  {
    method: 'POST',
    url: '/auth/login',
    good: { email: 'x@example.org', password },
    required: ['email', 'password'],
    bad: { email: [...notLine, 'x'.repeat(257)], password: [...notLine, 'x'.repeat(1025)] }
  },
  {
    method: 'POST',
    url: '/auth/refresh',
    good: { refresh_token: 'unknown' },
    required: ['refresh_token'],
    bad: { refresh_token: [...notLine, 'x'.repeat(1025)] }
  },
  {
    method: 'POST',
    url: '/auth/password',
    good: { current_password: 'no password of theirs', new_password: password },
    required: ['current_password', 'new_password'],
    bad: { current_password: [...notLine, 'x'.repeat(1025)], new_password: [...notLine, 'short', 'x'.repeat(73)] }
  },
  {
    method: 'POST',
    url: '/users',
    good: { email: 'x@example.org', password, role: 'student' },
    required: ['email', 'password', 'role'],
    bad: { email: [...notLine, 'plain'], password: [...notLine, 'short'], role: [...notLine, 'Student'] }
  },
  {
    method: 'POST',
    url: '/media',
    good: { title: 'A', type: 'video', file_url: 'https://example.org/a.mp4' },
    required: ['title', 'type', 'file_url'],
    bad: {
      title: [...notLine, 'x'.repeat(201)],
      type: [...notLine, 'Video', 'image'],
      file_url: [
        ...notLine,
        'example.org/a.mp4',
        '/etc/passwd',
        'file:///etc/passwd',
        'ftp://example.org/a',
        'javascript:alert(1)',
        'data:video/mp4,x',
        'http://',
        'https://user:pass@example.org/a',
        'https://example.org/a b',
        `https://example.org/${'x'.repeat(2048)}`
      ],
      visibility: [...notLine, 'Public', 'unlisted']
    }
  },
  {
    method: 'PATCH',
    url: `/media/${mediaId}`,
    good: { title: 'A' },
    required: [],
    bad: { title: [...notLine, 'x'.repeat(201)], visibility: [...notLine, 'PUBLIC'] }
  },
  { method: 'POST', url: `/media/${mediaId}/view`, good: {}, required: [], bad: {} }
]

t.test('bad input', async (t) => {
  const server = await buildTestApp(t)
  const { admin, student } = await signUpEverybody(server)
  const { headers } = admin
  const send = (method: Method, url: string, payload?: string | object | Buffer, more = {}) =>
    server.inject({ method, url, headers: { ...headers, ...more }, ...(payload !== undefined && { payload }) })
  const made = await send('POST', '/media', { title: 'A', type: 'video', file_url: 'https://example.org/a.mp4' })
  const { id } = made.json<{ id: string }>()

  t.test('every field of every body is refused by its name', async (t) => {
    for (const { method, url, good, required, bad } of bodies(id)) {
      for (const [field, values] of Object.entries(bad)) {
        for (const value of values) {
          const reply = await send(method, url, JSON.stringify({ ...good, [field]: value }), json)
          if (!t.equal(reply.statusCode, 422, `${url} ${field}=${JSON.stringify(value).slice(0, 40)}`)) {
            t.comment(reply.body)
          }
          expectProblem(t, reply, 422, 'validation_failed', [field])
        }
      }
      for (const field of required) {
        expectProblem(t, await send(method, url, { ...good, [field]: undefined }), 422, 'validation_failed', [field])
      }
      for (const field of ['unknown', 'id', 'Title', '', 'hasOwnProperty']) {
        expectProblem(t, await send(method, url, { ...good, [field]: 'x' }), 422, 'validation_failed', [field])
      }
    }
    t.match(
      (await send('POST', '/auth/signup', {})).json<{ errors: object[] }>().errors,
      [{ path: 'email' }, { path: 'password' }],
      'all of them at once'
    )
    expectProblem(t, await send('PATCH', `/media/${id}`, {}), 422, 'validation_failed')
  })

  t.test('a body that is no JSON object, of another type, or too large is refused', async (t) => {
    for (const { method, url, good } of bodies(id)) {
      for (const text of [
        '{',
        '{"a":}',
        "{'a':1}",
        '[1,',
        'x',
        '{"a":1}}',
        '\ufeff\ufeff{}',
        '{"__proto__":{"a":1}}',
        '{"constructor":{"prototype":{}}}',
        Buffer.from([0xff, 0xfe])
      ]) {
        expectProblem(t, await send(method, url, text, json), 400, 'malformed_json')
      }
      for (const text of ['[]', '[{}]', '"x"', '5', 'true']) {
        expectProblem(t, await send(method, url, text, json), 422, 'validation_failed')
      }
      for (const type of [
        'text/plain',
        'text/json',
        'application/jsonx',
        'application/xml',
        'application/octet-stream',
        'nonsense',
        'image/png',
        'application/vnd.api+json'
      ]) {
        expectProblem(
          t,
          await send(method, url, JSON.stringify(good), { 'content-type': type }),
          415,
          'unsupported_content_type'
        )
      }
      if (url !== '/auth/login') {
        expectProblem(
          t,
          await send(method, url, 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
          415,
          'unsupported_content_type'
        )
      }
      expectProblem(t, await send(method, url, Buffer.from(JSON.stringify(good)), {}), 415, 'unsupported_content_type')
      expectProblem(
        t,
        await send(method, url, JSON.stringify({ ...good, title: 'x'.repeat(300_000) }), json),
        413,
        'payload_too_large'
      )
    }
  })

  t.test('bug: a login or a media without a body, or with the body of another route, was a 500', async (t) => {
    const multipart = { 'content-type': 'multipart/form-data; boundary=x' }
    for (const url of ['/auth/signup', '/auth/login', '/users', '/media']) {
      expectProblem(t, await send('POST', url), 422, 'validation_failed')
    }
    expectProblem(t, await send('PATCH', `/media/${id}`), 422, 'validation_failed')
    for (const [method, url] of [
      ['POST', '/auth/signup'],
      ['POST', '/auth/login'],
      ['POST', '/users'],
      ['PATCH', `/media/${id}`],
      ['POST', `/media/${id}/view`]
    ] as const) {
      for (const text of ['', '--x--\r\n']) {
        expectProblem(t, await send(method, url, text, multipart), 415, 'unsupported_content_type')
      }
    }
  })

  t.test(
    'bug: a content type without a body, as many clients send it, was malformed JSON where no body is needed',
    async (t) => {
      t.equal((await send('POST', `/media/${id}/view`, '', json)).statusCode, 200)
      t.equal((await send('DELETE', `/media/${id}/stream-url`, '', json)).statusCode, 204)
      for (const url of ['/auth/signup', '/auth/login', '/media']) {
        expectProblem(t, await send('POST', url, '', json), 400, 'malformed_json')
      }
    }
  )

  t.test('a content type is known however it is spelled', async (t) => {
    for (const type of [
      'application/json',
      'Application/JSON',
      'application/json;charset=utf-8',
      'application/json; charset="UTF-8"',
      'application/json ; charset=utf-8'
    ]) {
      t.equal((await send('PATCH', `/media/${id}`, '{"title":"B"}', { 'content-type': type })).statusCode, 200, type)
      t.equal(
        (
          await send('POST', '/auth/login', JSON.stringify({ email: student.email, password }), {
            'content-type': type
          })
        ).statusCode,
        200,
        type
      )
    }
    const form = new URLSearchParams({ username: student.email, password }).toString()
    for (const type of ['application/x-www-form-urlencoded', 'Application/X-WWW-Form-URLEncoded; charset=UTF-8']) {
      t.equal((await send('POST', '/auth/login', form, { 'content-type': type })).statusCode, 200, type)
    }
  })

  t.test('a login form is held to the same rules as JSON', async (t) => {
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const [form, field] of [
      ['', 'username'],
      ['username=a', 'password'],
      ['password=a', 'username'],
      ['username=&password=a', 'username'],
      ['username=a&password=', 'password'],
      ['username=a&username=b&password=c', 'username'],
      ['username=a%00&password=c', 'username'],
      ['username=a&password=%00', 'password'],
      [`username=${'x'.repeat(257)}&password=c`, 'username'],
      ['email=a&username=a&password=c', 'email'],
      ['username=a&password=b&scope=a&scope=b', 'scope']
    ] as const) {
      expectProblem(t, await send('POST', '/auth/login', form, type), 422, 'validation_failed', [field])
    }
    for (const form of [
      'username=%ff&password=c',
      'username=%zz&password=%',
      'username=a&password=b&__proto__=c'.replace('&__proto__=c', '')
    ]) {
      expectProblem(t, await send('POST', '/auth/login', form, type), 401, 'invalid_credentials')
    }
    expectProblem(t, await send('POST', '/auth/login', { username: 'a', password: 'b' }), 422, 'validation_failed', [
      'username',
      'email'
    ])
  })

  t.test('bad query parameters are named, unknown ones ignored', async (t) => {
    const number = ['x', '', '1.5', '-1', '0', '1e99', 'NaN', '%00', 'true', '1&PARAM=2', '99999999999999999999']
    for (const [url, name, values] of [
      ['/media', 'page', [...number, '1000001']],
      ['/media', 'size', [...number, '101']],
      ['/media', 'type', ['', 'image', 'Video', 'video&type=audio']],
      ['/media', 'q', ['%00', '%20', 'x'.repeat(201), 'a&q=b']],
      [`/media/${id}/views`, 'page', number],
      [`/media/${id}/views`, 'size', number],
      [`/media/${id}/analytics`, 'days', [...number, '366']],
      [`/media/${id}/stream-url`, 'expires_in', [...number, '86401', 'AUTO', 'auto%20']]
    ] as Array<[string, string, string[]]>) {
      for (const value of values) {
        expectProblem(
          t,
          await send('GET', `${url}?${name}=${value.replace('PARAM', name)}`),
          422,
          'validation_failed',
          [name]
        )
      }
      t.equal((await send('GET', `${url}?unknown=1&page[]=2&__proto__=3`)).statusCode, 200, `${url} ignores`)
    }
    for (const q of ['%ff', "'", '%25', '_', '\\', encodeURIComponent('😀'), encodeURIComponent("' or 1=1 --")]) {
      t.match((await send('GET', `/media?q=${q}`)).json(), { total: 0 }, q)
    }
    t.match((await send('GET', '/media?page=1000')).json(), { items: [], total: 1, pages: 1 }, 'past the end')
  })

  const idRoutes: Array<[Method, string, object?]> = [
    ['GET', ''],
    ['PATCH', '', { title: 'B' }],
    ['DELETE', ''],
    ['GET', '/stream-url'],
    ['DELETE', '/stream-url'],
    ['GET', '/stream'],
    ['HEAD', '/stream'],
    ['POST', '/view'],
    ['GET', '/views'],
    ['GET', '/analytics']
  ]

  t.test('bug: a malformed id was a 500 on Postgres, and a 404 where an unknown one was a 401', async (t) => {
    for (const [method, rest, body] of idRoutes) {
      for (const bad of [
        unknownId,
        'nope',
        '1',
        '%00',
        '%20',
        "'",
        id.slice(1),
        `${id}0`,
        `{${id}}`,
        `urn:uuid:${id}`,
        id.replaceAll('-', ''),
        encodeURIComponent('😀'),
        '%2e%2e%2fx',
        'x'.repeat(500),
        '__proto__'
      ]) {
        const url = `/media/${bad}${rest}`
        const [known, stranger] = [await send(method, url, body), await server.inject({ method, url, payload: body })]
        t.same([known.statusCode, stranger.statusCode], [404, 401], `${method} ${url.slice(0, 80)}`)
        if (method === 'HEAD') continue
        expectProblem(t, known, 404, 'not_found')
        expectProblem(t, stranger, 401, 'not_authenticated')
        t.match(stranger.headers['www-authenticate'], /^Bearer/)
      }
    }
  })

  t.test('bug: an address that cannot be decoded ended the process', async (t) => {
    for (const bad of ['%ff', '%zz', '%', '%ED%A0%80']) {
      for (const url of [`/media/${bad}`, `/media/stream/${bad}`, `/problems/${bad}`]) {
        const reply = await send('GET', url, undefined, { 'x-request-id': 'mine' })
        expectProblem(t, reply, 400, 'bad_request')
        t.equal(reply.headers['x-request-id'], 'mine')
      }
    }
    expectProblem(t, await send('GET', `/media/${'x'.repeat(2000)}`), 414, 'uri_too_long')
    const { port } = new URL(await server.listen())
    for (const line of [
      'GET /media/%ff HTTP/1.1\r\nHost: x',
      'GET /media/%ff HTTP/1.1\r\nHost: <script>',
      'GET http://[/ HTTP/1.1\r\nHost: x',
      'GET * HTTP/1.1\r\nHost: x',
      'OPTIONS * HTTP/1.1\r\nHost: x',
      'GET ?x HTTP/1.1\r\nHost: x',
      'GET nothing HTTP/1.0'
    ]) {
      const answer = await new Promise<string>((resolve, reject) => {
        let text = ''
        connect(Number(port), '127.0.0.1')
          .on('data', (chunk) => {
            text += String(chunk)
          })
          .on('end', () => resolve(text))
          .on('error', reject)
          .write(`${line}\r\nConnection: close\r\n\r\n`)
      })
      t.match(answer, /^HTTP\/1.1 [24]/, line)
      t.notMatch(answer, /script>/)
    }
    t.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200, 'and it lives')
  })

  t.test(
    'every path answers under /api/v1, with /media/media and with a slash at the end, and is never redirected',
    async (t) => {
      const same = (a: Response, b: Response, url: string) => {
        t.same([b.statusCode, b.json()], [a.statusCode, a.json()], url)
      }
      for (const url of ['/', '/auth/me', '/media', `/media/${id}`, `/media/${id}/analytics`, `/media/${id}/views`]) {
        const plain = await send('GET', url)
        const bare = url === '/' ? '' : url
        for (const alias of [
          `/api/v1${bare}`,
          `/api/v1${bare}/`,
          `${bare}/`,
          ...(url.startsWith('/media') ? [`/media${url}`, `/api/v1/media${url}/?x=1`] : [])
        ]) {
          same(plain, await send('GET', alias), alias)
        }
      }
      for (const url of [
        `/media/stream/${id}`,
        `/media/${id}/stream`,
        `/media/media/${id}/stream/`,
        `/api/v1/media/media/stream/${id}`
      ]) {
        t.match(await send('GET', url), { statusCode: 302, headers: { location: 'https://example.org/a.mp4' } }, url)
      }
      t.equal((await send('POST', '/api/v1/auth/login/', { email: student.email, password })).statusCode, 200)
      t.equal(
        (await send('GET', `/api/v1/media/${unknownId}/`)).json<{ instance: string }>().instance,
        `/api/v1/media/${unknownId}/`
      )
    }
  )

  t.test('a wrong method is 405 with Allow, an unknown address 404', async (t) => {
    for (const [method, url, allow] of [
      ['DELETE', '/', 'GET, HEAD'],
      ['GET', '/auth/signup', 'POST'],
      ['PATCH', '/api/v1/auth/login/', 'POST'],
      ['POST', '/auth/me', 'GET, HEAD'],
      ['DELETE', '/users', 'GET, HEAD, POST'],
      ['PUT', '/media', 'GET, HEAD, POST'],
      ['POST', `/media/${id}`, 'DELETE, GET, HEAD, PATCH'],
      ['POST', `/media/${id}/stream-url`, 'DELETE, GET, HEAD'],
      ['POST', `/media/${id}/stream`, 'GET, HEAD'],
      ['GET', `/media/${id}/view`, 'POST'],
      ['DELETE', `/media/media/${id}/analytics/`, 'GET, HEAD'],
      ['PUT', '/health', 'GET, HEAD']
    ] as Array<[Method, string, string]>) {
      const reply = await send(method, url)
      expectProblem(t, reply, 405, 'method_not_allowed')
      t.equal(reply.headers.allow, allow, `${method} ${url}`)
    }
    for (const url of [
      '/nope',
      '/auth',
      '/auth/me/x',
      '/api',
      '/api/v1x',
      '/api/v2/media',
      '/api/v1/api/v1/media',
      '/media/stream/a/b',
      `/media/${id}/nope`,
      '/problems/nope',
      '/problems/constructor',
      '/.env',
      '/media/media/media/media/x/y'
    ]) {
      for (const method of ['GET', 'POST'] as const) {
        if (!(method === 'POST' && url.startsWith('/problems'))) {
          expectProblem(t, await send(method, url), 404, 'route_not_found')
        }
      }
    }
  })
})
