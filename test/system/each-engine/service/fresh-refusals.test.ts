import type { InjectOptions, Response } from 'light-my-request'
import pg from 'pg'
import t, { type Test } from 'tap'
import { newClass, subscribe } from '../../../support/courses.js'
import { eventually, startServer } from '../../../support/server-process.js'
import { engine, queryDatabase, testEnvironment, type TestApp } from '../../../support/test-app.js'
import { call, mintLink, pathOf, signUpEverybody, succeeded, upload, type Person } from '../../../support/client.js'
import { sized } from '../../../support/measures.js'
import { loadConfig } from '../../../../src/config/config.js'

const ROUNDS = sized(60, 1000)
/** A round may wait a second for a cache, so that rounds run beside one another, each lane on media of its own. */
const LANES = sized(6, 25)

type Server = Pick<TestApp, 'inject'>

interface TwoServers {
  a: Server
  b: Server
  query(sql: string): Promise<unknown>
}

/** Two server processes on one database. */
async function twoServers (t: Test): Promise<TwoServers> {
  const { env } = await testEnvironment(t)
  const a = await startServer(t, env)
  const b = await startServer(t, env)
  return { a: overHttp(a.origin), b: overHttp(b.origin), query: await openQueries(t, env) }
}

/** Connections for all rounds: opening one costs more than the rest of a round. */
async function openQueries (t: Test, env: Record<string, string>): Promise<TwoServers['query']> {
  const config = loadConfig(env)
  if (config.database.engine === 'sqlite') return async (sql) => await queryDatabase(config, sql)
  const pool = new pg.Pool({ connectionString: config.database.url, max: 2 })
  t.teardown(() => pool.end())
  return async (sql) => await pool.query(sql)
}

/** The part of a server under test that helpers need, for one in a process of its own. */
function overHttp (origin: string): Server {
  async function inject ({ method = 'GET', url, headers, payload }: InjectOptions) {
    const isJson = payload !== undefined && !Buffer.isBuffer(payload)
    const reply = await fetch(origin + String(url), {
      method,
      headers: { ...(headers as Record<string, string>), ...(isJson && { 'content-type': 'application/json' }) },
      ...(payload !== undefined && { body: isJson ? JSON.stringify(payload) : new Uint8Array(payload as Buffer) })
    })
    const body = await reply.text()
    return { statusCode: reply.status, body, json: () => JSON.parse(body) as unknown }
  }
  return { inject: async (options) => (await inject(options)) as Response }
}

/** Runs {@link ROUNDS} rounds on lanes; `prepare` makes what a lane needs, and returns its round. */
async function inLanes (prepare: () => Promise<() => Promise<void>>): Promise<void> {
  let left = ROUNDS
  const rounds = await Promise.all(Array.from({ length: LANES }, prepare))
  await Promise.all(
    rounds.map(async (round) => {
      while (left-- > 0) await round()
    })
  )
}

const open = async (server: Server, link: string) =>
  (await server.inject({ url: link, headers: { range: 'bytes=0-0' } })).statusCode

const streamUrl = async ({ inject }: Server, id: string, { headers }: Person) =>
  await inject({ url: `/media/${id}/stream-url`, headers })

const uploadedId = async (server: Server, person: Person, fields = {}) =>
  (await upload(server, person, undefined, fields)).json<{ id: string }>().id

t.test(`a link that was issued after a revocation opens on every process, ${ROUNDS} times on ${engine}`, async (t) => {
  const { a, b } = await twoServers(t)
  const { instructor } = await signUpEverybody(a)
  let [refused, revoked] = [0, 0]
  await inLanes(async () => {
    const id = await uploadedId(a, instructor)
    return async () => {
      const old = await mintLink(a, id, instructor)
      await open(b, old)
      succeeded(await a.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers: instructor.headers }))
      const link = await mintLink(a, id, instructor)
      if ((await open(b, link)) !== 206) refused++
      if ((await open(b, old)) === 403) revoked++
    }
  })
  t.equal(refused, 0, `of ${ROUNDS} links`)
  t.equal(revoked, ROUNDS, 'and the old one is refused on a process that has seen the new one')
})

t.test('a media that became ready opens on every process', async (t) => {
  const { a, b, query } = await twoServers(t)
  const { instructor } = await signUpEverybody(a)
  let refused = 0
  await inLanes(async () => {
    const id = await uploadedId(a, instructor, { protection: 'encrypted' })
    await eventually('it is packaged', async () => (await streamUrl(a, id, instructor)).statusCode === 200)
    const { stream_url: first } = (await streamUrl(a, id, instructor)).json<{ stream_url: string }>()
    const plain = async () => (await b.inject({ url: `/media/stream/${id}`, headers: instructor.headers })).statusCode
    return async () => {
      await query(`update media set status = 'processing' where id = '${id}'`)
      await eventually('it is not ready', async () => (await open(b, pathOf(first))) === 409)
      if ((await plain()) !== 409) t.fail('nor is the plain stream')
      await query(`update media set status = 'ready' where id = '${id}'`)
      const link = pathOf((await streamUrl(a, id, instructor)).json<{ stream_url: string }>().stream_url)
      if ((await open(b, link)) !== 200) refused++
      if ((await plain()) !== 200) refused++
    }
  })
  t.equal(refused, 0)
})

t.test('a subscription counts at once on every process', async (t) => {
  const { a, b } = await twoServers(t)
  const { instructor } = await signUpEverybody(a)
  let refused = 0
  await inLanes(async () => {
    const { course, lecture, student } = await newClass(a, instructor)
    const mediaId = lecture.asset_id
    return async () => {
      succeeded(await call(a, 'DELETE', `/subscribe/${course.id}`, student))
      await eventually('it ended', async () => (await streamUrl(b, mediaId, student)).statusCode === 404)
      succeeded(await subscribe(a, student, course.id))
      const link = await mintLink(a, mediaId, student)
      if ((await open(b, link)) !== 206) refused++
      if ((await streamUrl(b, mediaId, student)).statusCode !== 200) refused++
    }
  })
  t.equal(refused, 0)
})

t.test('a role that was just given counts at once on every process', async (t) => {
  const { a, b } = await twoServers(t)
  const { admin, instructor, student } = await signUpEverybody(a)
  const id = await uploadedId(a, instructor)
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
