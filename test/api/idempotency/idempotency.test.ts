import { createHash } from 'node:crypto'
import type { Response } from 'light-my-request'
import t from 'tap'
import { createProber, type Prober } from '../../../src/media/probe/probe.js'
import { courseText, kept, lectureText, newCourse, part, subscribe, type BatchReply } from '../../support/courses.js'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import { form, signUp, signUpEverybody, textParts, upload, type FormPart, type Person } from '../../support/client.js'
import { fixture } from '../../support/fixtures.js'

const HOUR = 3_600_000

interface Sent {
  url?: string
  key: string | undefined
  payload: object | FormPart[]
}

/** Sends a creating request with an Idempotency-Key: a form if `payload` is an array, else JSON. */
async function send (server: TestApp, person: Person, { url = '/course', key, payload }: Sent): Promise<Response> {
  const sent = Array.isArray(payload) ? form(payload as FormPart[]) : { payload }
  const headers = {
    ...('headers' in sent && sent.headers),
    ...person.headers,
    ...(key !== undefined && { 'idempotency-key': key })
  }
  return await server.inject({ method: 'POST', url, ...sent, headers })
}

const isReplay = (reply: Response) => reply.headers['idempotency-replayed'] === 'true'
const mediaForm = async (title: string, file = 'tiny.ogg'): Promise<FormPart[]> => [
  ...textParts({ title, type: 'audio' }),
  await part(file, 'file')
]
const mediaRows = async (server: TestApp) => (await server.query('select id from media')).length

const server = await buildTestApp(t, {}, { idempotencyWaitMs: 300 })
const { admin, instructor, student } = await signUpEverybody(server)

t.test('a repeated request gets the first response byte for byte, and creates nothing', async (t) => {
  const first = await send(server, instructor, { key: 'course-1', payload: courseText })
  const again = await send(server, instructor, { key: '"course-1"', payload: courseText })
  t.equal(first.statusCode, 201)
  t.notOk(isReplay(first))
  t.ok(isReplay(again))
  t.equal(again.statusCode, 201)
  t.equal(again.body, first.body)
  t.equal(again.headers.location, first.headers.location)
  t.equal(again.headers['content-type'], first.headers['content-type'])
  t.equal((await server.query('select id from courses')).length, 1)
})

t.test('without a key, each request creates a course', async (t) => {
  const [one, two] = [
    await send(server, instructor, { key: undefined, payload: courseText }),
    await send(server, instructor, { key: undefined, payload: courseText })
  ]
  t.not(one.json<{ id: string }>().id, two.json<{ id: string }>().id)
  t.notOk(isReplay(two))
})

t.test('each creating operation replays its response', async (t) => {
  const course = await newCourse(server, instructor)
  const lecture = async () => [...textParts({ ...lectureText, course_id: course.id }), await part('tiny.ogg')]
  const batch = async () => [
    ...textParts({ lectures_data: JSON.stringify([{ ...lectureText, course_id: course.id }, { title: 'No' }]) }),
    await part('tiny.ogg', 'lectures_files'),
    await part('tiny.mp3', 'lectures_files')
  ]
  const linked = { title: 'A talk', type: 'video', file_url: 'https://cdn.example.org/talk.mp4' }
  const cases: Array<[Person, string, () => Promise<Sent['payload']>]> = [
    [instructor, '/media', () => mediaForm('A song')],
    [instructor, '/media', async () => linked],
    [instructor, '/course/add-lecture', lecture],
    [instructor, '/course/add-lectures-batch', batch],
    [student, '/subscribe', async () => ({ course_id: course.id })]
  ]
  for (const [index, [person, url, payload]] of cases.entries()) {
    const key = `each-${index}`
    const first = await send(server, person, { url, key, payload: await payload() })
    t.equal(first.statusCode, 201, `${url}: ${first.body}`)
    const before = await kept(server)
    const again = await send(server, person, { url, key, payload: await payload() })
    t.ok(isReplay(again), url)
    t.equal(again.body, first.body, url)
    t.equal(again.headers.location, first.headers.location, url)
    t.same(await kept(server), before, `${url} keeps nothing more`)
  }
})

t.test('a key with another content, operation or file is 422; another account may use it', async (t) => {
  t.equal((await send(server, instructor, { key: 'mine', payload: courseText })).statusCode, 201)
  const other = { ...courseText, title: 'Another' }
  expectProblem(t, await send(server, instructor, { key: 'mine', payload: other }), 422, 'idempotency_key_reused')
  const url = '/media'
  const asForm = await send(server, instructor, { url, key: 'mine', payload: await mediaForm('A') })
  expectProblem(t, asForm, 422, 'idempotency_key_reused')
  t.equal((await send(server, admin, { key: 'mine', payload: other })).statusCode, 201)

  t.equal((await send(server, instructor, { url, key: 'file', payload: await mediaForm('A') })).statusCode, 201)
  const before = await mediaRows(server)
  for (const payload of [await mediaForm('A', 'tiny.mp3'), await mediaForm('B')]) {
    expectProblem(t, await send(server, instructor, { url, key: 'file', payload }), 422, 'idempotency_key_reused')
  }
  t.equal(await mediaRows(server), before)
})

t.test('twenty parallel uploads with one key make one media and get twenty equal responses', async (t) => {
  const patient = await openTestApp(t, server.env, server.folder, { idempotencyWaitMs: 60_000 })
  const before = await mediaRows(server)
  const payload = await mediaForm('Once')
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      send(index % 2 === 0 ? server : patient, instructor, { url: '/media', key: 'twenty', payload })
    )
  )
  // The server with the short wait may refuse; it never creates a second media.
  const made = replies.filter(({ statusCode }) => statusCode === 201)
  t.equal(await mediaRows(server), before + 1)
  t.equal(new Set(made.map(({ body }) => body)).size, 1)
  t.equal(made.filter((reply) => !isReplay(reply)).length, 1)
  t.ok(made.length >= 10, `${made.length} responses`)

  const all = await Promise.all(
    Array.from({ length: 20 }, () => send(patient, instructor, { url: '/media', key: 'twenty-2', payload }))
  )
  t.same(new Set(all.map(({ statusCode }) => statusCode)), new Set([201]), all.map(({ body }) => body).join('\n'))
  t.equal(new Set(all.map(({ body }) => body)).size, 1)
  t.equal(await mediaRows(server), before + 2)
})

t.test('a request in progress makes the next one wait, then 409 with Retry-After', async (t) => {
  const hold = (until: number) =>
    server.query(
      'insert into idempotency_keys (account_id, key, holder, lease_until, created_at) values ' +
        `('${instructor.id}', 'held', '${instructor.id}', ${until}, ${server.clock.now})`
    )
  await hold(server.clock.now + 9000)
  const busy = await send(server, instructor, { key: 'held', payload: courseText })
  expectProblem(t, busy, 409, 'idempotency_key_in_use')
  t.ok(Number(busy.headers['retry-after']) > 0)
  // A process that died left its lease, which ends.
  server.clock.advance(10_000)
  const after = await send(server, instructor, { key: 'held', payload: courseText })
  t.equal(after.statusCode, 201)
  t.notOk(isReplay(after))
})

t.test('a refused request leaves its key unused', async (t) => {
  expectProblem(t, await send(server, instructor, { key: 'bad', payload: { title: '' } }), 422, 'validation_failed')
  const text = [...textParts({ title: 'A', type: 'audio' }), await part('text.mp4', 'file')]
  const refused = await send(server, instructor, { url: '/media', key: 'bad', payload: text })
  t.equal(refused.statusCode, 415)
  t.same(await server.query("select key from idempotency_keys where key = 'bad'"), [])
  t.equal((await send(server, instructor, { key: 'bad', payload: courseText })).statusCode, 201)
})

t.test('a malformed key is 400, and creates nothing', async (t) => {
  const before = (await server.query('select id from courses')).length
  for (const key of ['', 'a b', 'x'.repeat(256), '"a', 'a,b']) {
    expectProblem(t, await send(server, instructor, { key, payload: courseText }), 400, 'idempotency_key_malformed')
  }
  t.equal((await server.query('select id from courses')).length, before)
})

t.test('a replay needs no quota, and writes no file', async (t) => {
  const song = await fixture('tiny.ogg')
  const small = await buildTestApp(t, { QUOTA_BYTES: String(song.length + 10) })
  const owner = await signUp(small)
  const url = '/media'
  const first = await send(small, owner, { url, key: 'full', payload: await mediaForm('A') })
  t.equal(first.statusCode, 201)
  expectProblem(t, await upload(small, owner, 'tiny.ogg', { type: 'audio' }), 413, 'quota_exceeded')
  const again = await send(small, owner, { url, key: 'full', payload: await mediaForm('A') })
  t.ok(isReplay(again), again.body)
  t.equal(again.body, first.body)
  t.equal((await small.storedFiles()).length, 1)
})

t.test('if a batch fails after its first lecture, the retry adds only the second', async (t) => {
  const prober = createProber()
  let probes = 0
  const failing: Prober = {
    ...prober,
    async probe (path, accountId) {
      if (++probes === 2) throw new Error('the second file fails as if the server had died')
      return await prober.probe(path, accountId)
    }
  }
  const broken = await openTestApp(t, server.env, server.folder, { prober: failing })
  const course = await newCourse(server, instructor)
  const url = '/course/add-lectures-batch'
  const batch = async (second = 'Second') => {
    const entries = [lectureText, { ...lectureText, title: second }].map((one) => ({ ...one, course_id: course.id }))
    const files = [await part('tiny.ogg', 'lectures_files'), await part('tiny.mp3', 'lectures_files')]
    return { url, key: 'batch', payload: [...textParts({ lectures_data: JSON.stringify(entries) }), ...files] }
  }
  const titles = async () =>
    await server.query(`select title from lectures where course_id = '${course.id}' order by position`)

  t.equal((await send(broken, instructor, await batch())).statusCode, 500)
  t.same(await titles(), [{ title: lectureText.title }], 'the first lecture is committed')
  expectProblem(t, await send(server, instructor, await batch('Another')), 422, 'idempotency_key_reused')
  const resumed = await send(server, instructor, await batch())
  t.equal(resumed.statusCode, 201, resumed.body)
  t.same(
    resumed.json<BatchReply>().results.map(({ success, lecture }) => [success, lecture?.title]),
    [
      [true, lectureText.title],
      [true, 'Second']
    ]
  )
  t.same(await titles(), [{ title: lectureText.title }, { title: 'Second' }])
  const replayed = await send(server, instructor, await batch())
  t.ok(isReplay(replayed))
  t.equal(replayed.body, resumed.body)
})

t.test('responses are encrypted at rest, and kept for 24 hours', async (t) => {
  const { env, folder } = server
  const first = await send(server, instructor, { url: '/media', key: 'day', payload: await mediaForm('Secret title') })
  const [row] = await server.query<{ answer: string }>("select answer from idempotency_keys where key = 'day'")
  t.ok(row!.answer)
  t.notMatch(row!.answer, /Secret|media/)
  const later = await openTestApp(t, env, folder)
  later.clock.advance(23 * HOUR)
  const fresh = await signedIn(later, instructor)
  const again = await send(later, fresh, { url: '/media', key: 'day', payload: await mediaForm('Secret title') })
  t.equal(again.body, first.body)
  later.clock.advance(2 * HOUR)
  const expired = await send(later, fresh, { url: '/media', key: 'day', payload: await mediaForm('Secret title') })
  t.equal(expired.statusCode, 201)
  t.notOk(isReplay(expired))
})

t.test('an unknown SECRET_KEY cannot read a response: 503, and nothing is created', async (t) => {
  await send(server, instructor, { key: 'sealed', payload: courseText })
  await server.query("update idempotency_keys set answer = 'abcdefgh.AAAA' where key = 'sealed'")
  const before = (await server.query('select id from courses')).length
  const reply = await send(server, instructor, { key: 'sealed', payload: courseText })
  expectProblem(t, reply, 503, 'secret_key_missing')
  t.equal((await server.query('select id from courses')).length, before)
})

t.test('a subscription is still refused twice, with two keys', async (t) => {
  const course = await newCourse(server, instructor)
  t.equal((await subscribe(server, student, course.id)).statusCode, 201)
  const again = await send(server, student, { url: '/subscribe', key: 'sub', payload: { course_id: course.id } })
  expectProblem(t, again, 409, 'already_subscribed')
})

t.test('the fingerprint is of the bytes: a file of 1 MiB differs by its last byte', async (t) => {
  const bytes = Buffer.concat([await fixture('tiny.mp3'), Buffer.alloc(1 << 20)])
  const asForm = (value: Buffer) => [
    ...textParts({ title: 'Long', type: 'audio' }),
    { name: 'file', value, fileName: 'a.mp3' }
  ]
  const url = '/media'
  const first = await send(server, instructor, { url, key: 'bytes', payload: asForm(bytes) })
  t.equal(first.json<{ sha256: string }>().sha256, createHash('sha256').update(bytes).digest('hex'))
  const changed = Buffer.from(bytes)
  changed[changed.length - 1] = 1
  const other = await send(server, instructor, { url, key: 'bytes', payload: asForm(changed) })
  expectProblem(t, other, 422, 'idempotency_key_reused')
})

/** The same account with a token of another server. */
async function signedIn (other: TestApp, { email, id }: Person): Promise<Person> {
  const payload = { email, password: 'secure_password123' }
  const { token } = (await other.inject({ method: 'POST', url: '/auth/login', payload })).json<{ token: string }>()
  return { id, email, token, headers: { authorization: `Bearer ${token}` } }
}
