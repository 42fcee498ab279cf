import { gzipSync } from 'node:zlib'
import { connect } from 'node:net'
import t from 'tap'
import { lectureText } from '../../support/courses.js'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { signUp, signUpEverybody } from '../../support/client.js'
import { describedOperations, newScene, newWorld } from '../../support/operations.js'

const json = { 'content-type': 'application/json' }
const KiB = 1024
const MAX_REFUSAL_BYTES = 32 * KiB

t.test('bodies that are bombs', async (t) => {
  const server = await buildTestApp(t)
  const scene = await newScene(server, await newWorld(server))
  const deep = (open: string, close: string, levels: number, inside = '') =>
    open.repeat(levels) + inside + close.repeat(levels)
  const bombs: Array<[name: string, body: string | Buffer, statuses: number[]]> = [
    ['100,000 open brackets', '['.repeat(100_000), [400]],
    ['100,000 nested arrays', deep('[', ']', 100_000), [422]],
    ['40,000 nested objects', deep('{"a":', '}', 40_000, '1'), [422]],
    ['nested under a known field', `{"title":${deep('[', ']', 50_000)},"email":${deep('[', ']', 50_000)}}`, [422]],
    ['nested __proto__', deep('{"__proto__":', '}', 10_000, '{}'), [400]],
    ['__proto__ in the depth', '{"title":{"a":[{"__proto__":{"isAdmin":true}}]}}', [400]],
    ['an escaped __proto__', '{"\\u005f_proto__":{"isAdmin":true}}', [400]],
    ['constructor.prototype', '{"constructor":{"prototype":{"isAdmin":true}}}', [400]],
    ['a number of 200,000 digits', `{"title":${'9'.repeat(200_000)}}`, [422]],
    ['an exponent past all numbers', '{"title":1e999999999}', [422]],
    ['a fraction of 200,000 digits', `{"email":0.${'0'.repeat(200_000)}1}`, [422]],
    ['20,000 unknown fields', `{${Array.from({ length: 20_000 }, (_, index) => `"${index}":0`).join(',')}}`, [422]],
    ['an unknown field with a name of 250,000 characters', `{"${'x'.repeat(250_000)}":0}`, [422]],
    ['a text of 250,000 characters', `{"title":"${'x'.repeat(250_000)}"}`, [422]],
    ['250,000 spaces', `${' '.repeat(250_000)}`, [400]],
    ['a null character', '{"title":"a"}\0', [400]],
    ['a field twice', '{"title":1,"title":"a"}', [200, 201, 422]],
    ['NaN', '{"title":NaN}', [400]],
    ['a comment', '{/**/}', [400]],
    ['a comma too many', '{"title":"a",}', [400]],
    ['single quotes', "{'title':'a'}", [400]],
    ['UTF-16', Buffer.from('\ufeff{"title":"a"}', 'utf16le'), [400]],
    ['half a UTF-8 character', Buffer.from([0x7b, 0x22, 0xe2, 0x82, 0x22, 0x3a, 0x31, 0x7d]), [422]],
    ['more than any body may have', `{"title":"${'x'.repeat(300 * KiB)}"}`, [413]]
  ]
  for (const [name, { requestBody }] of await describedOperations(server)) {
    if (requestBody?.content['application/json'] === undefined) continue
    const [method, path] = name.split(' ') as ['POST', string]
    const url = path.replaceAll(
      /\{\w+\}/g,
      path.startsWith('/media') ? scene.publicMediaId : path.startsWith('/lecture') ? scene.lectureId : scene.courseId
    )
    const who = ['owner', 'admin', 'subscribed'] as const
    const person =
      scene.people[
        path === '/users' || path.startsWith('/users/')
          ? who[1]
          : path.startsWith('/subscribe') || path.endsWith('/progress')
            ? who[2]
            : who[0]
      ]!
    for (const [bomb, payload, statuses] of bombs) {
      const reply = await server.inject({ method, url, headers: { ...json, ...person.headers }, payload })
      t.ok(statuses.includes(reply.statusCode), `${name}, ${bomb}: ${reply.statusCode} ${reply.body.slice(0, 200)}`)
      if (reply.statusCode < 400) continue
      t.match(reply.headers['content-type'], /^application\/problem\+json/, `${name}, ${bomb}`)
      t.ok(reply.body.length < MAX_REFUSAL_BYTES, `${name}, ${bomb}: the refusal has ${reply.body.length} bytes`)
    }
    const zipped = await server.inject({
      method,
      url,
      headers: { ...json, 'content-encoding': 'gzip', ...person.headers },
      payload: gzipSync(' '.repeat(10_000_000))
    })
    t.equal(zipped.statusCode, 400, `${name}: nothing is unpacked`)
  }
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined, 'no prototype was changed')
})

t.test('a parameter in another place, under another spelling or twice changes nothing', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)
  const other = await signUp(server)
  const made = await server.inject({
    method: 'POST',
    url: '/media',
    headers: instructor.headers,
    payload: { title: 'A', type: 'video', file_url: 'https://example.org/a' }
  })
  const { id } = made.json<{ id: string }>()
  const password = 'secure_password123'

  t.test('roles and owners', async (t) => {
    const signup = await server.inject({
      method: 'POST',
      url: '/auth/signup?role=admin&email=x@example.org',
      payload: { email: 'a@example.org', password }
    })
    t.match(signup.json(), { role: 'instructor', email: 'a@example.org' })
    for (const field of ['role', 'is_admin', 'id', 'disabled', 'roles[]', 'Role', 'role\u0000', ' role']) {
      expectProblem(
        t,
        await server.inject({
          method: 'POST',
          url: '/auth/signup',
          payload: { email: 'b@example.org', password, [field]: 'admin' }
        }),
        422,
        'validation_failed',
        [field]
      )
    }
    for (const role of ['admin', 'Admin', 'instructor,admin', ['admin'], 'instructor\n', ' student']) {
      const payload = {
        first_name: 'A',
        last_name: 'B',
        email: 'c@example.org',
        password,
        date_of_birth: '1990-01-01',
        mobile_number: '+1234567899',
        role
      }
      expectProblem(
        t,
        await server.inject({ method: 'POST', url: '/auth/register', payload }),
        422,
        'validation_failed',
        ['role']
      )
    }
    for (const query of [
      `owner_id=${student.id}`,
      `sub=${admin.id}x`.replace('sub', 'user_id'),
      'role=admin',
      'admin=true',
      `id=${id}`
    ]) {
      expectProblem(t, await server.inject({ url: `/media/${id}?${query}`, headers: other.headers }), 404, 'not_found')
    }
    t.equal(
      (
        await server.inject({
          url: `/media?owner_id=${instructor.id}&ownerId=${instructor.id}`,
          headers: other.headers
        })
      ).json<{ total: number }>().total,
      0
    )
  })

  t.test('methods', async (t) => {
    for (const [url, headers] of [
      ['?_method=DELETE', {}],
      ['', { 'x-http-method-override': 'DELETE' }],
      ['', { 'x-http-method': 'DELETE' }],
      ['', { 'x-method-override': 'DELETE' }]
    ] as const) {
      expectProblem(
        t,
        await server.inject({
          method: 'POST',
          url: `/media/${id}${url}`,
          headers: { ...headers, ...instructor.headers },
          payload: {}
        }),
        405,
        'method_not_allowed'
      )
    }
    t.equal((await server.inject({ url: `/media/${id}`, headers: instructor.headers })).statusCode, 200, 'it is there')
    for (const method of ['TRACE', 'CONNECT', 'PROPFIND', 'LINK', 'PURGE'] as const) {
      const { port } = new URL(await server.listen())
      t.match(
        await raw(
          Number(port),
          `${method} /media/${id} HTTP/1.1\r\nhost: x\r\nauthorization: ` +
            `${instructor.headers.authorization}\r\nconnection: close\r\n\r\n`
        ),
        /^(HTTP\/1\.1 4\d\d |$)/,
        method
      )
    }
  })

  t.test('lists', async (t) => {
    for (const query of ['size=1&size=100', 'size[]=5', 'size[a]=5', 'page=1;size=5', 'size=1%00', 'SIZE=5']) {
      const reply = await server.inject({ url: `/media?${query}`, headers: instructor.headers })
      if (query.startsWith('size=')) expectProblem(t, reply, 422, 'validation_failed', ['size'])
      else if (query.startsWith('page=')) expectProblem(t, reply, 422, 'validation_failed', ['page'])
      else t.match(reply.json(), { size: 10 }, query)
    }
  })

  t.test('forms', async (t) => {
    const form = (payload: string) =>
      server.inject({
        method: 'POST',
        url: '/auth/login',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload
      })
    for (const payload of [
      `username=${student.email}&password=x&password=${password}`,
      `username=${student.email}&username=${admin.email}&password=${password}`,
      `username[]=${student.email}&password=${password}`,
      `username=${student.email}&password=${password}&__proto__[admin]=1`,
      `${'a=1&'.repeat(5000)}username=${student.email}&password=${password}`
    ]) {
      const reply = await form(payload)
      expectProblem(t, reply, 422, 'validation_failed')
      t.ok(reply.body.length < MAX_REFUSAL_BYTES)
    }
  })

  t.test('a batch takes its entries at their word', async (t) => {
    const course = await server.inject({
      method: 'POST',
      url: '/course',
      headers: instructor.headers,
      payload: { title: 'A', description: 'B' }
    })
    const courseId = course.json<{ id: string }>().id
    const boundary = 'x'
    for (const data of [
      `[{"__proto__":{"course_id":"${courseId}"}}]`,
      JSON.stringify([{ ...lectureText, course_id: { id: courseId } }]),
      `[${'['.repeat(10_000)}${']'.repeat(10_000)}]`,
      `{"length":1,"0":${JSON.stringify(lectureText)}}`,
      '[null]',
      '[5]',
      '[[]]',
      '["__proto__"]'
    ]) {
      const payload =
        '--x\r\ncontent-disposition: form-data; ' +
        `name="lectures_data"\r\n\r\n${data}\r\n--x\r\ncontent-disposition: form-data; name="lectures_files"; ` +
        'filename="a"\r\n\r\nx\r\n--x--\r\n'
      const reply = await server.inject({
        method: 'POST',
        url: '/course/add-lectures-batch',
        headers: { 'content-type': `multipart/form-data; boundary=${boundary}`, ...instructor.headers },
        payload
      })
      t.equal(reply.statusCode, 422, `${data.slice(0, 50)}: ${reply.body.slice(0, 200)}`)
    }
    t.equal((await server.storedFiles()).length, 0)
  })
})

t.test('no trick with a path reaches a file or a page that is not shown', async (t) => {
  const server = await buildTestApp(t, { METRICS_TOKEN: 'the token of the metrics' })
  const { port } = new URL(await server.listen())
  const folders = [
    '/docs/',
    '/docs/static/',
    '/redoc/',
    '/embed/',
    '/problems/',
    '/media/',
    '/media/stream/',
    '/hls/',
    '/'
  ]
  const up = [
    '..',
    '%2e%2e',
    '.%2e',
    '%2E.',
    '..%00',
    '..;',
    '..%3b',
    '%252e%252e',
    '..%c0%af',
    '\\..',
    '%5c..',
    '....',
    '.../...',
    '%u002e%u002e',
    '..%09',
    '．．'
  ]
  const slashes = ['/', '//', '%2f', '%252f', '\\', '%5c', '/./']
  const targets = ['package.json', '.env', 'src/app.ts', 'etc/passwd', 'data/secret.key', 'metrics']
  let tried = 0
  const shown: string[] = []
  for (const folder of folders) {
    const paths = up.flatMap((dots) =>
      slashes.flatMap((slash) =>
        [1, 3, 8].flatMap((levels) => targets.map((target) => `${folder}${(dots + slash).repeat(levels)}${target}`))
      )
    )
    const more = [
      '',
      '.',
      '..',
      '%00',
      '%2e',
      '%',
      '%ff',
      'a%00.css',
      'swagger-ui.css%00',
      'swagger-ui.css/',
      'swagger-ui.css/..',
      '.git/config',
      '.well-known/x',
      '?/../../package.json',
      '#/../package.json',
      '*',
      '~',
      'index.php',
      'x'.repeat(3000)
    ].map((end) => folder + end)
    for (const path of [...paths.filter((_, index) => index % 7 === folder.length % 7), ...more]) {
      const answer = await raw(
        Number(port),
        `GET ${encodeURI(path).replaceAll('%25', '%')} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`
      )
      tried++
      const [, status] = /^HTTP\/1\.1 (\d+)/.exec(answer) ?? []
      if (status === undefined || Number(status) >= 500) t.fail(`${path}: ${answer.slice(0, 200)}`)
      if (
        /"dependencies"|root:.*:0:0|process_cpu|^import |SECRET_KEY/m.test(answer.slice(answer.indexOf('\r\n\r\n'))) &&
        !answer.includes('swagger')
      ) {
        shown.push(path)
      }
    }
  }
  t.same(shown, [], 'none of them shows a file of the server')
  for (const target of [
    'http://evil.example.org/metrics',
    'http://evil.example.org/docs/../metrics',
    '//evil.example.org/metrics',
    '/metrics?',
    '/metrics/',
    '/api/v1/metrics',
    '/%6d%65trics',
    '/metrics%00',
    '/metrics;x',
    '/metrics#',
    '/METRICS'
  ]) {
    t.match(
      await raw(Number(port), `GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`),
      /^HTTP\/1\.1 40\d /,
      target
    )
  }
  t.comment(`figure: ${tried} tricks with paths on ${folders.length} folders: 0 files shown, 0 5xx`)
})

/** Sends text, answers all that comes back until the server closes. */
function raw (port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    connect(port, '127.0.0.1')
      .setEncoding('latin1')
      .on('data', (chunk) => {
        answer += String(chunk)
      })
      .on('close', () => resolve(answer))
      .on('error', reject)
      .write(text)
  })
}
