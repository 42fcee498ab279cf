import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { form, mintLink, signUpEverybody, upload, type FormPart, type Person } from '../../support/client.js'

interface Expected {
  file: string
  type: string
  content_type: string
  duration_seconds: number
  size_bytes: number
  codecs: string[]
  width: number | null
  height: number | null
}

const CRLF = '\r\n'
const file = async (name = 'tiny.mp4', field = 'file'): Promise<FormPart> => ({
  name: field,
  value: await fixture(name),
  fileName: name
})
const fields: FormPart[] = [
  { name: 'title', value: 'A title' },
  { name: 'type', value: 'video' }
]
const post = async (server: TestApp, person: Person, parts: FormPart[]) =>
  await server.inject({ method: 'POST', url: '/media', ...withToken(form(parts), person) })
const withToken = ({ headers, payload }: ReturnType<typeof form>, person: Person) => ({
  headers: { ...headers, ...person.headers },
  payload
})

/** What is kept: files, and rows that own one. They must be as many. */
async function kept (server: TestApp): Promise<{ files: number; rows: number }> {
  const rows = await server.query('select blob_name from media where blob_name is not null')
  return { files: (await server.storedFiles()).length, rows: rows.length }
}

async function keepsNothing (
  t: Test,
  server: TestApp,
  before: { files: number; rows: number },
  name: string
): Promise<void> {
  let after = await kept(server)
  for (let tries = 0; tries < 50 && after.files !== before.files; tries++) {
    await sleep(100)
    after = await kept(server)
  }
  t.same(after, before, `${name}: nothing is kept`)
}

/** Sends text over a socket of its own, in pieces, and closes it if asked to; answers what came back. */
async function raw (
  origin: string,
  pieces: Array<string | Buffer>,
  { ending, pauseMs = 0 }: { ending?: 'half' | 'reset'; pauseMs?: number } = {}
): Promise<string> {
  const { hostname, port } = new URL(origin)
  const socket = connect({ host: hostname, port: Number(port) }).setNoDelay(true)
  let answer = ''
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  socket
    .on('error', () => {})
    .on('data', (data) => {
      answer += data.toString('latin1')
    })
  for (const piece of pieces) {
    socket.write(piece)
    await sleep(pauseMs)
  }
  if (ending === 'half') socket.end()
  if (ending === 'reset') socket.resetAndDestroy()
  await Promise.race([closed, sleep(5000, undefined, { ref: false })])
  socket.destroy()
  return answer
}

t.test('uploads', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)
  const head = (contentType: string, length: number) =>
    [
      'POST /media HTTP/1.1',
      'host: localhost',
      'connection: close',
      `authorization: ${instructor.headers.authorization}`,
      `content-type: ${contentType}`,
      `content-length: ${length}`,
      '',
      ''
    ].join(CRLF)

  for (const expected of JSON.parse((await fixture('expected.json')).toString()) as Expected[]) {
    t.test(`${expected.file} is described rightly and streams back byte for byte`, async (t) => {
      const content = await fixture(expected.file)
      const reply = await upload(server, instructor, expected.file, { type: expected.type })
      t.equal(reply.statusCode, 201, reply.body)
      const media = reply.json<Expected & { id: string; sha256: string; status: string }>()
      const { duration_seconds: seconds, ...others } = expected
      t.match(media, {
        ...Object.fromEntries(Object.entries(others).filter(([name]) => name !== 'file')),
        status: 'ready',
        title: 'A title',
        visibility: 'private',
        owner_id: instructor.id,
        file_url: `/media/stream/${media.id}`
      })
      t.ok(Math.abs(media.duration_seconds - seconds) <= 0.1, `${media.duration_seconds} s is near ${seconds} s`)
      t.equal(media.sha256, createHash('sha256').update(content).digest('hex'))
      t.equal(reply.headers.location, `/media/${media.id}`)
      t.same(
        (await server.inject({ url: reply.headers.location as string, headers: instructor.headers })).json(),
        media
      )
      const stream = await server.inject({ url: await mintLink(server, media.id, instructor) })
      t.equal(stream.headers['content-type'], expected.content_type)
      t.ok(stream.rawPayload.equals(content), 'the same bytes')
    })
  }

  t.test('the order of parts, the name of the file and its claimed type do not matter', async (t) => {
    const [title, type] = fields as [FormPart, FormPart]
    const spaced = { ...title, value: '  A name with ends  ' }
    const reply = await post(server, admin, [
      { ...(await file('tiny.mp3', 'media')), fileName: '../../../etc/passwd.exe', contentType: 'text/html' },
      { ...type, value: 'audio' },
      { name: 'visibility', value: 'public' },
      spaced
    ])
    t.equal(reply.statusCode, 201, reply.body)
    t.match(reply.json(), {
      title: 'A name with ends',
      visibility: 'public',
      type: 'audio',
      content_type: 'audio/mpeg',
      owner_id: admin.id
    })
    for (const stored of await server.storedFiles()) t.match(stored, /^[0-9a-f-]{36}$/)
  })

  t.test('only administrators and instructors upload', async (t) => {
    const before = await kept(server)
    expectProblem(t, await upload(server, student), 403, 'role_required')
    const { headers, payload } = form([...fields, await file()])
    expectProblem(t, await server.inject({ method: 'POST', url: '/media', headers, payload }), 401, 'not_authenticated')
    await keepsNothing(t, server, before, 'without the right')
  })

  const audio = { name: 'type', value: 'audio' }
  const badForms: Array<[name: string, parts: FormPart[], status: number, code: string, fields?: string[]]> = [
    ...(await Promise.all(
      [
        'bad.html',
        'bad.svg',
        'bad.zip',
        'bad.pdf',
        'bad.png',
        'elf.mp4',
        'text.mp4',
        'empty.mp4',
        'notracks.mp4'
      ].map(async (name): Promise<[string, FormPart[], number, string]> => [
        name,
        [...fields, await file(name)],
        415,
        'unsupported_media_format'
      ])
    )),
    ['half a film', [...fields, await file('cut.mp4')], 415, 'media_truncated'],
    ['HTML sent as audio', [fields[0]!, audio, await file('bad.html')], 415, 'unsupported_media_format'],
    ['video sent as audio', [fields[0]!, audio, await file()], 422, 'media_type_mismatch', ['type']],
    ['audio sent as video', [...fields, await file('tiny.mp3')], 422, 'media_type_mismatch', ['type']],
    ['no file', fields, 422, 'validation_failed', ['file']],
    ['no field', [await file()], 422, 'validation_failed', ['title', 'type']],
    ['a file as text', [...fields, { name: 'file', value: 'text' }], 422, 'validation_failed', ['file']],
    ['two files', [...fields, await file(), await file('tiny.mp3', 'media')], 422, 'validation_failed', ['file']],
    ['a file under another name', [...fields, await file(), await file('tiny.mp3', 'cover')], 422, 'validation_failed'],
    [
      'an unknown field after the file',
      [...fields, await file(), { name: 'owner_id', value: 'x' }],
      422,
      'validation_failed',
      ['owner_id']
    ],
    [
      'a field of the prototype',
      [...fields, await file(), { name: 'constructor', value: 'x' }],
      400,
      'malformed_multipart'
    ],
    ['__proto__', [...fields, await file(), { name: '__proto__', value: 'x' }], 400, 'malformed_multipart'],
    [
      'a field given twice',
      [...fields, await file(), { name: 'title', value: 'B' }],
      422,
      'validation_failed',
      ['title']
    ],
    [
      'too many fields',
      [await file(), ...Array.from({ length: 30 }, (_, index) => ({ name: `field${index}`, value: '' }))],
      422,
      'validation_failed'
    ],
    [
      'a huge field',
      [await file(), { name: 'title', value: 'x'.repeat(100_000) }],
      422,
      'validation_failed',
      ['title']
    ],
    [
      'a long title',
      [await file(), audio, { name: 'title', value: 'x'.repeat(201) }],
      422,
      'validation_failed',
      ['title']
    ],
    ['a blank title', [await file(), audio, { name: 'title', value: '   ' }], 422, 'validation_failed', ['title']],
    [
      'a control character',
      [await file(), audio, { name: 'title', value: 'a\u0000b' }],
      422,
      'validation_failed',
      ['title']
    ],
    [
      'an unknown type',
      [await file(), fields[0]!, { name: 'type', value: 'image' }],
      422,
      'validation_failed',
      ['type']
    ],
    [
      'an unknown visibility',
      [await file(), ...fields, { name: 'visibility', value: 'all' }],
      422,
      'validation_failed',
      ['visibility']
    ]
  ]
  for (const [name, parts, status, code, names] of badForms) {
    t.test(`refuses ${name} and keeps nothing`, async (t) => {
      const before = await kept(server)
      expectProblem(t, await post(server, instructor, parts), status, code, names)
      await keepsNothing(t, server, before, name)
    })
  }

  const good = form([...fields, await file()])
  const contentType = good.headers['content-type']!
  const boundary = contentType.split('=')[1]!
  const replaced = (from: string, to: string) =>
    Buffer.from(good.payload.toString('latin1').replaceAll(from, to), 'latin1')
  const badBodies: Array<
    [name: string, contentType: string | undefined, body: Buffer | string, status: number, code: string]
  > = [
    [
      'a missing closing boundary',
      contentType,
      good.payload.subarray(0, -boundary.length - 8),
      400,
      'malformed_multipart'
    ],
    ['half a closing boundary', contentType, good.payload.subarray(0, -4), 400, 'malformed_multipart'],
    [
      'a closing boundary inside a line',
      contentType,
      replaced(`${CRLF}--${boundary}--`, `--${boundary}--`),
      400,
      'malformed_multipart'
    ],
    ['a body cut in the file', contentType, good.payload.subarray(0, 9000), 400, 'malformed_multipart'],
    ['a body cut in the part headers', contentType, good.payload.subarray(0, 30), 400, 'malformed_multipart'],
    ['an empty body', contentType, '', 400, 'malformed_multipart'],
    ['a missing boundary parameter', 'multipart/form-data', good.payload, 400, 'malformed_multipart'],
    ['an empty boundary', 'multipart/form-data; boundary=', good.payload, 400, 'malformed_multipart'],
    ['another boundary', 'multipart/form-data; boundary=other', good.payload, 400, 'malformed_multipart'],
    [
      'part headers without a colon (bug: the parser never ended over a skipped part of 16 KiB)',
      contentType,
      replaced('content-disposition: form-data', 'content-disposition form-data'),
      422,
      'validation_failed'
    ],
    ['part headers without a name', contentType, replaced(' name=', ' nome='), 400, 'malformed_multipart'],
    [
      'endless part headers',
      contentType,
      replaced('content-disposition:', `x: ${'y'.repeat(100_000)}${CRLF}content-disposition:`),
      422,
      'validation_failed'
    ],
    ['a body without any type', undefined, good.payload, 415, 'unsupported_content_type'],
    ['octets', 'application/octet-stream', good.payload, 415, 'unsupported_content_type'],
    ['text', 'text/plain', good.payload, 415, 'unsupported_content_type'],
    ['a form of pairs', 'application/x-www-form-urlencoded', 'title=a&type=video', 415, 'unsupported_content_type'],
    [
      'multipart that is no form',
      `multipart/mixed; boundary=${boundary}`,
      good.payload,
      415,
      'unsupported_content_type'
    ],
    ['a form sent as JSON', 'application/json', good.payload, 400, 'malformed_json']
  ]
  for (const [name, type, payload, status, code] of badBodies) {
    t.test(`refuses ${name} and keeps nothing`, async (t) => {
      const before = await kept(server)
      expectProblem(
        t,
        await server.inject({
          method: 'POST',
          url: '/media',
          headers: { ...(type !== undefined && { 'content-type': type }), ...instructor.headers },
          payload
        }),
        status,
        code
      )
      await keepsNothing(t, server, before, name)
    })
  }

  t.test('a connection that ends in the middle leaves nothing', async (t) => {
    const origin = await server.listen()
    const before = await kept(server)
    for (const ending of ['half', 'reset'] as const) {
      for (const at of [10, 200, 600, 9000, good.payload.length - 1]) {
        const answer = await raw(origin, [head(contentType, good.payload.length), good.payload.subarray(0, at)], {
          ending,
          pauseMs: 30
        })
        if (answer !== '') t.match(answer, /^HTTP\/1\.1 400 /, `${ending} at ${at}`)
        await keepsNothing(t, server, before, `${ending} at ${at}`)
      }
    }
  })

  t.test(
    'a body may come in single bytes and with an epilogue (bug: its end was searched only in the last two chunks)',
    async (t) => {
      const origin = await server.listen()
      const end = good.payload.subarray(-12).toString('latin1').split('')
      t.match(
        await raw(origin, [head(contentType, good.payload.length), good.payload.subarray(0, -12), ...end], {
          pauseMs: 15
        }),
        /^HTTP\/1\.1 201 /
      )
      t.match(
        await raw(origin, [head(contentType, good.payload.length + 9), good.payload, 'epi', 'log', 'ue.'], {
          pauseMs: 15
        }),
        /^HTTP\/1\.1 201 /
      )
    }
  )
})

t.test('sizes', async (t) => {
  const server = await buildTestApp(t, { MAX_UPLOAD_BYTES: '30000', QUOTA_BYTES: '100000' })
  const { instructor, admin } = await signUpEverybody(server)

  t.test('a file over MAX_UPLOAD_BYTES is 413 with the figure', async (t) => {
    const reply = await upload(server, instructor, 'tiny.avi')
    expectProblem(t, reply, 413, 'upload_too_large')
    t.equal(reply.json().max_bytes, 30_000)
    await keepsNothing(t, server, { files: 0, rows: 0 }, 'too large')
  })

  t.test('ten uploads at once never overshoot QUOTA_BYTES', async (t) => {
    const replies = await Promise.all(Array.from({ length: 10 }, () => upload(server, instructor)))
    const made = replies.filter(({ statusCode }) => statusCode === 201).length
    t.equal(made, 5, 'as many as fit into 100,000 bytes')
    for (const reply of replies.filter(({ statusCode }) => statusCode !== 201)) {
      expectProblem(t, reply, 413, 'quota_exceeded')
    }
    await keepsNothing(t, server, { files: 5, rows: 5 }, 'over the quota')
    const reply = await upload(server, instructor)
    expectProblem(t, reply, 413, 'quota_exceeded')
    t.match(reply.json(), { quota_bytes: 100_000, used_bytes: 5 * 18_398 })
    t.equal((await upload(server, admin)).statusCode, 201, "the quota is each account's own")
  })
})

t.test('PUT /media/uploads takes the body itself', async (t) => {
  const server = await buildTestApp(t, { MAX_UPLOAD_BYTES: '30000', QUOTA_BYTES: '40000' })
  const { instructor, student } = await signUpEverybody(server)
  const content = await fixture('tiny.mp4')
  const digest = (algorithm: string, value: Buffer) =>
    `${algorithm}=:${createHash('sha256').update(value).digest('base64')}:`
  const put = async (
    headers: Record<string, string> = {},
    query = 'title=A%20title&type=video',
    payload: Buffer = content,
    person: Person | undefined = instructor
  ) =>
    await server.inject({
      method: 'PUT',
      url: `/media/uploads?${query}`,
      headers: { ...person?.headers, ...headers },
      payload
    })
  const nothing = { files: 0, rows: 0 }

  const refused: Array<
    [name: string, reply: () => ReturnType<typeof put>, status: number, code: string, fields?: string[]]
  > = [
    [
      'without a token',
      () => put({}, undefined, undefined, { ...instructor, headers: {} as Person['headers'] }),
      401,
      'not_authenticated'
    ],
    ['from a student', () => put({}, undefined, undefined, student), 403, 'role_required'],
    ['without title and type', () => put({}, 'visibility=public'), 422, 'validation_failed', ['title', 'type']],
    [
      'with a bad protection',
      () => put({}, 'title=a&type=video&protection=drm'),
      422,
      'validation_failed',
      ['protection']
    ],
    ['that is no media', async () => put({}, undefined, await fixture('bad.html')), 415, 'unsupported_media_format'],
    [
      'that is empty',
      () => put({ 'content-length': '0' }, undefined, Buffer.alloc(0)),
      415,
      'unsupported_media_format'
    ],
    ['of the other type', () => put({}, 'title=a&type=audio'), 422, 'media_type_mismatch', ['type']],
    [
      'that is not what its digest names',
      () => put({ 'repr-digest': digest('sha-256', Buffer.from('other')) }),
      422,
      'digest_mismatch'
    ],
    ['with a digest that is none', () => put({ 'repr-digest': 'sha-256=abc' }), 400, 'digest_malformed'],
    [
      'that is part of a file',
      () => put({ 'content-range': `bytes 0-${content.length - 1}/${content.length + 1}` }),
      400,
      'bad_request'
    ],
    ['that is encoded', () => put({ 'content-encoding': 'gzip' }), 415, 'unsupported_content_type'],
    ['over MAX_UPLOAD_BYTES', () => put({}, undefined, Buffer.alloc(30_001)), 413, 'upload_too_large']
  ]
  for (const [name, reply, status, code, names] of refused) {
    t.test(`refuses a file ${name} and keeps nothing`, async (t) => {
      expectProblem(t, await reply(), status, code, names)
      await keepsNothing(t, server, nothing, name)
    })
  }

  t.test('refuses a body without a length, and one that is not whole, and keeps nothing', async (t) => {
    const origin = await server.listen()
    const head = (...more: string[]) =>
      [
        'PUT /media/uploads?title=a&type=video HTTP/1.1',
        'host: localhost',
        'connection: close',
        `authorization: ${instructor.headers.authorization}`,
        ...more,
        '',
        ''
      ].join(CRLF)
    t.match(
      await raw(origin, [head('transfer-encoding: chunked'), `5${CRLF}hello${CRLF}0${CRLF}${CRLF}`]),
      /^HTTP\/1\.1 411 [^]*"code":"length_required"/
    )
    t.match(await raw(origin, [head()]), /^HTTP\/1\.1 411 /, 'no body at all')
    for (const ending of ['half', 'reset'] as const) {
      for (const at of [0, 1, 9000, content.length - 1]) {
        const answer = await raw(origin, [head(`content-length: ${content.length}`), content.subarray(0, at)], {
          ending,
          pauseMs: 30
        })
        if (answer !== '') t.match(answer, /^HTTP\/1\.1 400 /, `${ending} at ${at}`)
        await keepsNothing(t, server, nothing, `${ending} at ${at}`)
      }
    }
    const large = await raw(origin, [head('content-length: 2000000000')])
    t.match(large, /^HTTP\/1\.1 413 [^]*"max_bytes":30000/, 'refused before the first byte')
  })

  t.test('keeps what it is sent, whatever its type is said to be', async (t) => {
    const reply = await put(
      { 'content-type': 'application/json', 'repr-digest': digest('sha-256', content) },
      'title=%20Spaced%20&type=video&visibility=public&utm=1'
    )
    t.equal(reply.statusCode, 201, reply.body)
    const media = reply.json<{ id: string }>()
    t.match(media, {
      title: 'Spaced',
      visibility: 'public',
      content_type: 'video/mp4',
      sha256: createHash('sha256').update(content).digest('hex'),
      protection: 'none'
    })
    t.equal(reply.headers.location, `/media/${media.id}`)
    const stream = await server.inject({ url: await mintLink(server, media.id, instructor) })
    t.ok(stream.rawPayload.equals(content), 'the same bytes')
    t.equal(
      (await put({ 'content-type': 'text/html' }, 'title=b&type=video&protection=encrypted')).json().protection,
      'encrypted',
      'as the form does'
    )
    expectProblem(t, await put(), 413, 'quota_exceeded')
    t.equal((await kept(server)).rows, 2)
  })

  t.test('another method at the path of a resumable upload names those of tus', async (t) => {
    const reply = await server.inject({ method: 'PUT', url: '/media/uploads/a', headers: instructor.headers })
    expectProblem(t, reply, 405, 'method_not_allowed')
    t.match(reply.headers.allow, /DELETE.*HEAD.*OPTIONS.*PATCH/)
  })
})
