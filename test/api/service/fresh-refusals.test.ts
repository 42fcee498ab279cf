import t, { type Test } from 'tap'
import { call, newClass, pathOf, subscribe, succeeded } from '../../support/courses.js'
import {
  buildTestApp,
  engine,
  mintLink,
  openTestApp,
  signUpEverybody,
  upload,
  type Person,
  type TestApp
} from '../../support/test-app.js'
import { settled } from '../../support/protected-server.js'
import { sized } from '../../support/measures.js'

const ROUNDS = sized(60, 1000)

/**
 * Two processes' servers on Postgres. On SQLite one server, whose cache is bypassed by writes of another connection.
 */
async function twoServers (t: Test): Promise<{ a: TestApp; b: TestApp }> {
  const a = await buildTestApp(t)
  return { a, b: engine === 'postgres' ? await openTestApp(t, a.env, a.folder) : a }
}

const open = async (server: TestApp, link: string) =>
  (await server.inject({ url: link, headers: { range: 'bytes=0-0' } })).statusCode

t.test('a link that was minted after a revocation opens on every process', async (t) => {
  const { a, b } = await twoServers(t)
  const { instructor } = await signUpEverybody(a)
  const { id } = (await upload(a, instructor)).json<{ id: string }>()
  let refused = 0
  let revoked = 0
  for (let round = 0; round < ROUNDS; round++) {
    const old = await mintLink(a, id, instructor)
    await open(b, old)
    await a.query(`update media set generation = generation + 1 where id = '${id}'`)
    const link = await mintLink(a, id, instructor)
    if ((await open(b, link)) !== 206) refused++
    if ((await open(b, old)) === 403) revoked++
  }
  t.equal(refused, 0, `of ${ROUNDS} links`)
  t.equal(revoked, ROUNDS, 'and the old one is refused on a process that has seen the new one')
})

t.test('a media that became ready opens on every process', async (t) => {
  const { a, b } = await twoServers(t)
  const { instructor } = await signUpEverybody(a)
  const { id } = (await upload(a, instructor, undefined, { protection: 'encrypted' })).json<{ id: string }>()
  await a.listen()
  await settled(a, id, instructor)
  const first = pathOf((await streamUrl(a, id, instructor)).json<{ stream_url: string }>().stream_url)
  let refused = 0
  for (let round = 0; round < ROUNDS; round++) {
    await a.query(`update media set status = 'processing' where id = '${id}'`)
    for (const { clock } of new Set([a, b])) clock.advance(1000)
    if ((await open(b, first)) !== 409) t.fail('the media is not ready')
    if ((await b.inject({ url: `/media/stream/${id}`, headers: instructor.headers })).statusCode !== 409) {
      t.fail('nor plain')
    }
    await a.query(`update media set status = 'ready' where id = '${id}'`)
    const link = pathOf((await streamUrl(a, id, instructor)).json<{ stream_url: string }>().stream_url)
    if ((await open(b, link)) !== 200) refused++
    if ((await b.inject({ url: `/media/stream/${id}`, headers: instructor.headers })).statusCode !== 200) refused++
  }
  t.equal(refused, 0)
})

t.test('a subscription counts at once on every process', async (t) => {
  const { a, b } = await twoServers(t)
  const { instructor } = await signUpEverybody(a)
  const { course, lecture, student } = await newClass(a, instructor)
  const mediaId = lecture.asset_id
  let refused = 0
  for (let round = 0; round < ROUNDS; round++) {
    succeeded(await call(a, 'DELETE', `/subscribe/${course.id}`, student))
    for (const { clock } of new Set([a, b])) clock.advance(1000)
    if ((await streamUrl(b, mediaId, student)).statusCode !== 404) {
      t.fail('without a subscription there is no such media')
    }
    succeeded(await subscribe(a, student, course.id))
    const link = await mintLink(a, mediaId, student)
    if ((await open(b, link)) !== 206) refused++
    if ((await streamUrl(b, mediaId, student)).statusCode !== 200) refused++
  }
  t.equal(refused, 0)
})

t.test('a role that was just given counts at once on every process', async (t) => {
  const { a, b } = await twoServers(t)
  const { admin, instructor, student } = await signUpEverybody(a)
  const { id } = (await upload(a, instructor)).json<{ id: string }>()
  t.equal((await b.inject({ url: '/users', headers: student.headers })).statusCode, 403)
  t.equal((await b.inject({ url: `/media/${id}`, headers: student.headers })).statusCode, 404)
  const change = {
    method: 'PATCH' as const,
    url: `/users/${student.id}`,
    headers: admin.headers,
    payload: { role: 'admin' }
  }
  succeeded(await a.inject(change))
  t.equal((await b.inject({ url: '/users', headers: student.headers })).statusCode, 200)
  t.equal((await b.inject({ url: `/media/${id}`, headers: student.headers })).statusCode, 200)
})

/** The clock advances by a second a round, and links outlive that. */
const streamUrl = async ({ inject }: TestApp, id: string, { headers }: Person) =>
  await inject({ url: `/media/${id}/stream-url?expires_in=86400`, headers })
