import fc from 'fast-check'
import type { InjectOptions, Response } from 'light-my-request'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { lectureText } from '../../../support/courses.js'
import { buildTestApp, type TestApp } from '../../../support/test-app.js'
import { form, textParts, type FormPart } from '../../../support/client.js'
import { fixture } from '../../../support/fixtures.js'
import { requestsFor, type HostileRequest } from '../../../support/hostile-requests.js'
import { describedOperations, newScene, newWorld, type Scene, type Who } from '../../../support/operations.js'
import { figure, seed, sized } from '../../../support/measures.js'

const HANGS_AFTER_MS = 30_000
const internals =
  /node_modules|SQLITE_|\bat .*\.js:\d|kysely|ECONN|ENOENT|syntax error at or near|invalid input syntax|select .* from /i

/** What is wrong with a reply to a hostile request, if anything. */
function wrongWith (reply: Response | undefined, method: string): string | undefined {
  if (reply === undefined) return 'no answer'
  const { statusCode, headers, body } = reply
  if (statusCode >= 500) return `a ${statusCode}: ${body.slice(0, 300)}`
  if (headers['x-request-id'] === undefined) return 'no request id'
  if (statusCode < 400 || method === 'HEAD') return undefined
  if (!String(headers['content-type']).startsWith('application/problem+json')) {
    return `no problem document: ${statusCode} ${String(headers['content-type'])}`
  }
  const problem = JSON.parse(body) as Record<string, unknown>
  if (
    problem.status !== statusCode ||
    [problem.type, problem.title, problem.detail, problem.code, problem.instance, problem.request_id].some(
      (member) => typeof member !== 'string' || member === ''
    )
  ) {
    return `an incomplete problem: ${body}`
  }
  const told = { ...problem, instance: '', errors: undefined }
  return internals.test(JSON.stringify(told)) ? `shows its insides: ${body}` : undefined
}

async function answerOf (server: TestApp, options: InjectOptions): Promise<Response | undefined> {
  const late = new AbortController()
  try {
    return await Promise.race([server.inject(options), sleep(HANGS_AFTER_MS, undefined, { signal: late.signal })])
  } finally {
    late.abort()
  }
}

/** A request as it is injected: a form for the operations that take one, else JSON. */
function sent (method: string, { url, headers, body, type }: HostileRequest, file: Buffer): InjectOptions {
  if (body === undefined) return { method: method as 'GET', url, headers }
  if (type !== 'multipart/form-data' || typeof body !== 'object' || body === null) {
    return {
      method: method as 'GET',
      url,
      headers: { ...headers, ...(type !== undefined && { 'content-type': type }) },
      payload: JSON.stringify(body)
    }
  }
  const parts = Object.entries(body).flatMap(([name, value]): FormPart[] =>
    /^(file|media|lecture)/.test(name) && !/data$/.test(name)
      ? [value]
          .flat()
          .map((one) => JSON.stringify(one))
          .map((one) => ({ name, value: one.length % 2 === 0 ? file : one, fileName: one.replaceAll(/[\r\n"]/g, '') }))
      : [
          {
            name: name.replaceAll(/[\r\n"]/g, ''),
            value: typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
          }
        ]
  )
  const whole = form(parts)
  return { method: method as 'GET', url, headers: { ...headers, ...whole.headers }, payload: whole.payload }
}

t.test('requests drawn from openapi.json', async (t) => {
  const server = await buildTestApp(t)
  // Last what may end the sessions of those who ask.
  const descriptions = [...(await describedOperations(server))].sort(
    ([a], [b]) => Number(endsSessions(a)) - Number(endsSessions(b))
  )
  const world = await newWorld(server)
  let scene = await newScene(server, world)
  const file = await fixture('tiny.ogg')
  const runs = sized(20, 400)
  const statuses = new Map<number, number>()

  for (const [name, description] of descriptions) {
    const [method, path] = name.split(' ') as [string, string]
    await fc.assert(
      fc.asyncProperty(
        requestsFor(path, description, idsOf(scene)),
        fc.constantFrom<Who>('owner', 'admin', 'subscribed', 'nobody'),
        async (request, who) => {
          const options = sent(method, request, file)
          const reply = await answerOf(server, {
            ...options,
            headers: { ...scene.people[who]?.headers, ...options.headers }
          })
          const wrong =
            wrongWith(reply, method) ??
            (Object.hasOwn(description.responses, reply!.statusCode)
              ? undefined
              : `an undocumented ${reply!.statusCode}`)
          if (wrong !== undefined) throw new Error(`${name}: ${wrong}`)
          statuses.set(reply!.statusCode, (statuses.get(reply!.statusCode) ?? 0) + 1)
        }
      ),
      { numRuns: runs, seed }
    )
    if (method === 'DELETE') scene = await newScene(server, world)
  }
  t.ok(
    [200, 201, 204, 401, 403, 404, 422].every((status) => statuses.has(status)),
    'right and wrong ones were drawn'
  )
  figure(
    t,
    `${runs * descriptions.length} requests over ${descriptions.length} operations, seed ${seed}: ${[...statuses]
      .sort()
      .map(([status, count]) => `${count} × ${status}`)
      .join(', ')}; 0 5xx`
  )
})

function endsSessions (name: string): boolean {
  return name === 'PATCH /users/{id}' || name === 'POST /auth/password' || name === 'POST /auth/logout'
}

function idsOf (scene: Scene): string[] {
  return [
    scene.courseId,
    scene.lectureId,
    scene.courseMediaId,
    scene.privateMediaId,
    scene.publicMediaId,
    scene.people.owner!.id,
    '019377a4-3f00-7000-8000-000000000000'
  ]
}

t.test('forms altered at random', async (t) => {
  const server = await buildTestApp(t)
  const world = await newWorld(server)
  const scene = await newScene(server, world)
  const text = { ...lectureText, course_id: scene.courseId }
  const file = { value: await fixture('tiny.ogg'), fileName: 'a.ogg' }
  const forms: Array<[url: string, parts: FormPart[]]> = [
    ['/media', [...textParts({ title: 'A', type: 'audio' }), { name: 'file', ...file }]],
    ['/course/add-lecture', [...textParts(text), { name: 'lecture_file', ...file }]],
    [
      '/course/add-lectures-batch',
      [
        ...textParts({ lectures_data: JSON.stringify([text, text]) }),
        { name: 'lectures_files', ...file },
        { name: 'lectures_files', ...file }
      ]
    ]
  ]
  const puts = fc.oneof(
    fc.constantFrom(
      '\r\n',
      '\r\n\r\n',
      '\n\n',
      '--',
      '"',
      ';',
      '\0',
      'filename="',
      "name*=utf-8''%ff",
      'content-type: multipart/mixed; boundary=y\r\n',
      'content-transfer-encoding: base64\r\n',
      'content-length: -1\r\n',
      'name="__proto__"',
      '='.repeat(3000)
    ),
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  )
  // Most of a body is the file: its frame, at both ends, is where a parser can be led astray.
  const mutation = fc.record({
    at: fc.oneof(
      { weight: 5, arbitrary: fc.nat(900) },
      { weight: 2, arbitrary: fc.integer({ min: -90, max: -1 }) },
      { weight: 1, arbitrary: fc.nat(20_000) }
    ),
    cut: fc.oneof(fc.nat(12), fc.nat(3000)),
    put: puts
  })
  const statuses = new Map<number, number>()
  const runs = sized(150, 10_000)

  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...forms),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      async ([url, parts], mutations) => {
        const { headers, payload } = form(parts)
        let body = payload.toString('latin1')
        for (const { at, cut, put } of mutations) {
          const start = at < 0 ? body.length + at : Math.min(at, body.length)
          body = body.slice(0, start) + put + body.slice(start + cut)
        }
        const reply = await answerOf(server, {
          method: 'POST',
          url,
          headers: { ...headers, ...world.people.owner!.headers },
          payload: Buffer.from(body, 'latin1')
        })
        const wrong = wrongWith(reply, 'POST')
        if (wrong !== undefined) throw new Error(wrong)
        statuses.set(reply!.statusCode, (statuses.get(reply!.statusCode) ?? 0) + 1)
      }
    ),
    { numRuns: runs, seed }
  )

  await t.test('nothing is left of what was refused', async (t) => {
    const counted = async () => ({
      files: (await server.storedFiles()).length,
      rows: (
        await server.query(
          'select blob_name from media where blob_name is not null union all select package_blob from media where ' +
            'package_blob is not null'
        )
      ).length
    })
    for (let tries = 0; tries < 50 && (await counted()).files !== (await counted()).rows; tries++) await sleep(100)
    const { files, rows } = await counted()
    t.equal(files, rows, 'as many files as rows that own one')
  })
  figure(
    t,
    `${runs} bodies, seed ${seed}: ${[...statuses]
      .sort()
      .map(([status, count]) => `${count} × ${status}`)
      .join(', ')}; 0 5xx, nothing left`
  )
})
