import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { form, mintLink, signUp, upload } from '../../support/client.js'

interface Schema {
  required?: string[]
  properties?: Record<string, Schema>
  default?: unknown
  pattern?: string
}
interface Operation {
  description?: string
  parameters?: Array<{ name: string; required?: boolean; schema: Schema }>
  requestBody?: {
    required?: boolean
    content: Record<string, { schema: Schema; example?: unknown; examples?: object }>
  }
  security?: object[]
  responses: Record<string, { description: string; content?: Record<string, { schema: object; examples?: object }> }>
}

const server = await buildTestApp(t)
await server.app.ready()
const reply = await server.inject({ url: '/openapi.json' })
const document = reply.json<{
  info: object
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object> }
}>()
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation }))
)

function walk (value: unknown, visit: (schema: Schema) => void): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) visit(value as Schema)
  for (const part of Object.values(value)) walk(part, visit)
}

t.test('nothing that has a default is required (bug: strict generated clients did not compile)', async (t) => {
  for (const { name, operation } of operations) {
    for (const parameter of operation.parameters ?? []) {
      t.notOk(parameter.required === true && parameter.schema.default !== undefined, `${name} ${parameter.name}`)
    }
    walk(operation.requestBody, ({ required, properties }) => {
      for (const field of Array.isArray(required) ? required : []) {
        t.equal(properties?.[field]?.default, undefined, `${name} ${field}`)
      }
    })
  }
  for (const name of ['POST /media/{id}/view', 'POST /auth/logout']) {
    t.equal(
      operations.find((one) => one.name === name)!.operation.requestBody!.required,
      false,
      `${name} may go without a body`
    )
  }
})

t.test('openapi.json names a contact and a license (bug: a warning of spectral:oas)', async (t) => {
  t.match(document.info, { contact: { name: String }, license: { identifier: 'Apache-2.0' } })
})

t.test('every pattern is portable: no \\p, no [^], and it compiles with the u flag', async (t) => {
  walk(document, ({ pattern }) => {
    if (typeof pattern !== 'string') return
    t.notMatch(pattern, /\\p\{|\[\^\]/, pattern)
    t.doesNotThrow(() => new RegExp(pattern, 'u'), pattern)
  })
})

t.test('every operation is described, every body has an example, every error is the one Problem', async (t) => {
  for (const { name, operation } of operations) {
    t.ok(operation.description, `${name} has a description`)
    for (const [type, content] of Object.entries(operation.requestBody?.content ?? {})) {
      t.ok(content.example ?? content.examples, `${name} ${type} has an example`)
    }
    if (operation.requestBody !== undefined) {
      t.match(operation.responses, { 400: {}, 413: {}, 415: {} }, `${name} can refuse a body`)
    }
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      t.not(description, 'Default Response', `${name} ${status}`)
      const problem = content?.['application/problem+json']
      if (problem !== undefined) t.same(problem.schema, { $ref: '#/components/schemas/Problem' }, `${name} ${status}`)
    }
  }
  t.ok(document.components.schemas.Problem)
  t.ok(document.paths['/metrics']?.get, 'the metrics are described')
})

t.test('an operation names the refusals of the plugins in front of it (bug: too_many_uploads was lost)', async (t) => {
  for (const { name, operation } of operations) {
    const codes = Object.values(operation.responses).flatMap(({ content }) =>
      Object.keys(content?.['application/problem+json']?.examples ?? {})
    )
    const names = (...wanted: string[]) =>
      t.same(
        wanted.filter((code) => !codes.includes(code)),
        [],
        name
      )
    const isOpen = operation.security?.length === 0
    names('bad_request', 'database_unavailable')
    if (!isOpen && name !== 'GET /metrics') names('not_authenticated', 'invalid_token')
    if (operation.requestBody !== undefined) names('malformed_json', 'payload_too_large', 'unsupported_content_type')
    if (operation.requestBody?.content['multipart/form-data'] !== undefined) {
      names('malformed_multipart', 'upload_incomplete', 'upload_too_large', 'too_many_uploads', 'rate_limit_exceeded')
    }
    t.same(codes, [...new Set(codes)], `${name} names each code once`)
  }
  const upload = operations.find(({ name }) => name === 'POST /media')!.operation.requestBody!
  t.match(upload.content['multipart/form-data']?.schema.required, ['title', 'type', 'file'], 'from one definition')
})

t.test('openapi.json has an ETag for each coding, and is sent compressed', async (t) => {
  const get = (headers: Record<string, string>) => server.inject({ url: '/openapi.json', headers })
  const decoders = { br: brotliDecompressSync, gzip: gunzipSync, identity: (bytes: Buffer) => bytes }
  for (const [coding, decode] of Object.entries(decoders)) {
    const found = await get({ 'accept-encoding': coding })
    t.equal(found.headers['content-encoding'], coding === 'identity' ? undefined : coding)
    t.equal(decode(found.rawPayload).toString(), reply.body)
    const again = await get({ 'accept-encoding': coding, 'if-none-match': String(found.headers.etag) })
    t.equal(again.statusCode, 304)
    t.equal(again.body, '')
  }
  t.equal((await get({ 'accept-encoding': 'br;q=0, gzip' })).headers['content-encoding'], 'gzip')
})

t.test('OPTIONS that is no preflight is 405 with Allow; a preflight is as open as its GET', async (t) => {
  for (const [env, name] of [
    [{}, 'test'],
    [{ ENVIRONMENT: 'production' }, 'production']
  ] as const) {
    const { inject } = await buildTestApp(t, env)
    for (const url of ['/media', '/api/v1/course/all', '/hls/token/id/master.m3u8']) {
      const plain = await inject({ method: 'OPTIONS', url })
      t.equal(plain.statusCode, 405, `${name} ${url}`)
      t.equal(plain.json<{ code: string }>().code, 'method_not_allowed')
      t.match(plain.headers.allow, /GET/)
    }
    t.equal((await inject({ method: 'OPTIONS', url: '/nowhere' })).statusCode, 404)
    const headers = {
      origin: 'https://school.example',
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'range'
    }
    const preflight = await inject({ method: 'OPTIONS', url: '/hls/token/id/segment-0.ts', headers })
    t.equal(preflight.statusCode, 204, name)
    t.match(preflight.headers, { 'access-control-allow-origin': '*', 'access-control-allow-headers': /range/ })
    const closed = await inject({ method: 'OPTIONS', url: '/media', headers })
    t.equal(closed.headers['access-control-allow-origin'], undefined, 'the API is open to its origins only')
  }
})

t.test('a part of a form is text whatever its media type says (bug: a title typed as JSON was 400)', async (t) => {
  const owner = await signUp(server)
  for (const contentType of ['application/json', 'application/octet-stream', 'text/markdown; charset=utf-8']) {
    const { headers, payload } = form([
      { name: 'type', value: 'video' },
      { name: 'file', value: await fixture('tiny.mp4'), fileName: 'a.mp4' }
    ])
    const boundary = /boundary=(.*)$/.exec(headers['content-type']!)![1]!
    const typed =
      `--${boundary}\r\ncontent-disposition: form-data; name="title"\r\ncontent-type: ` +
      `${contentType}\r\n\r\nMy film\r\n`
    const made = await server.inject({
      method: 'POST',
      url: '/media',
      headers: { ...headers, ...owner.headers },
      payload: Buffer.concat([Buffer.from(typed), payload])
    })
    t.equal(made.statusCode, 201, `${contentType}: ${made.body}`)
    t.equal(made.json<{ title: string }>().title, 'My film')
  }
})

/** A request for an operation that names nothing that exists. */
const requestOf = (name: string) => {
  const [method, path] = name.split(' ') as ['GET', string]
  return { method, url: path.replaceAll(/\{\w+\}/g, '019377a4-3f00-7000-8000-000000000000') }
}

t.test('a body of an unknown content type gets a documented status (bug: POST /webhooks/mux was 415)', async (t) => {
  const owner = await signUp(server)
  for (const { name, operation } of operations) {
    const headers = { ...owner.headers, 'content-type': 'a' }
    const { statusCode } = await server.inject({ ...requestOf(name), headers, payload: 'x' })
    t.ok(Object.hasOwn(operation.responses, statusCode), `${name}: ${statusCode}`)
  }
})

t.test('with limits on, each operation gets documented statuses, and 429 is one', async (t) => {
  const limited = await buildTestApp(t, {
    RATE_LIMIT_VIEW_PER_MINUTE: '1',
    RATE_LIMIT_LOGIN_PER_MINUTE: '1',
    RATE_LIMIT_SIGNUP_PER_MINUTE: '1',
    RATE_LIMIT_COURSE_PER_MINUTE: '1',
    RATE_LIMIT_API_PER_MINUTE: '1'
  })
  const refused = new Set<string>()
  for (const { name, operation } of operations) {
    for (const payload of [undefined, {}, {}]) {
      const { statusCode } = await limited.inject({ ...requestOf(name), ...(payload && { payload }) })
      t.ok(Object.hasOwn(operation.responses, statusCode), `${name}: ${statusCode}`)
      if (statusCode === 429) refused.add(name)
    }
  }
  const groups = ['POST /auth/login', 'POST /auth/signup', 'POST /course', 'POST /media/{id}/view', 'GET /media']
  t.same(
    groups.filter((name) => !refused.has(name)),
    [],
    `429 for ${refused.size} operations`
  )
})

t.test('words that clients of the older systems read', async (t) => {
  const owner = await signUp(server)
  const { id } = (await upload(server, owner, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>()
  t.equal((await server.inject({ url: '/' })).json<{ message: string }>().message, 'Media Platform Backend API')
  const view = await server.inject({ method: 'POST', url: `/media/${id}/view` })
  t.equal(view.json<{ message: string }>().message, 'View logged successfully')
  const unknown = '019377a4-3f00-7000-8000-000000000000'
  for (const [method, path] of [
    ['GET', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['GET', '/stream-url'],
    ['GET', '/analytics'],
    ['GET', '/views'],
    ['POST', '/view']
  ] as const) {
    const payload = method === 'PATCH' ? { title: 'Another' } : undefined
    const gone = await server.inject({ method, url: `/media/${unknown}${path}`, headers: owner.headers, payload })
    t.match(gone.json(), { status: 404, detail: 'Media not found' }, `${method} ${path}`)
  }
  const link = await mintLink(server, id, owner)
  await server.inject({ method: 'DELETE', url: `/media/${id}`, headers: owner.headers })
  t.match(
    (await server.inject({ url: link })).json(),
    { status: 404, detail: 'Media not found' },
    'a link to a media that is gone'
  )
})
