import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Overrides } from '../../src/app.js'
import { MuxDouble } from './mux-double.js'
import { buildTestApp, type TestApp } from './test-app.js'
import { signUpEverybody, succeeded, type Person } from './client.js'
import { addLecture, newCourse, subscribe } from './courses.js'

/** Nothing but a broken connection, or an answer, ends a wait. */
const patient = { answerMs: 30_000, idleMs: 30_000, lookEveryMs: 50 }
/** For a Mux that hangs. */
export const impatient = { answerMs: 400, idleMs: 400, lookEveryMs: 50 }

export interface MuxLecture {
  id: string
  media_id: string
  asset_id: string | null
  playback_id: string | null
  url: string
  poster_url: string | null
  duration: number
  status: string
  error?: { code: string; message: string }
  drm?: Record<string, string>
}

export interface MuxServer extends TestApp {
  mux: MuxDouble
  admin: Person
  instructor: Person
  student: Person
  courseId: string
}

/** A double of Mux, ended with the test. */
export async function startMux (t: Pick<Test, 'teardown'>): Promise<MuxDouble> {
  const mux = await new MuxDouble().start()
  t.teardown(() => mux.stop())
  return mux
}

/**
 * A server that listens and plays by a double of Mux, which tells it everything; a premium course and a student who is
 * subscribed to it.
 */
export async function buildMuxApp (
  t: Test,
  { drm = false, env = {}, ...overrides }: Overrides & { drm?: boolean; env?: Record<string, string> } = {}
): Promise<MuxServer> {
  const mux = await startMux(t)
  const server = await buildTestApp(t, { ...mux.environment({ drm }), ...env }, { muxTimes: patient, ...overrides })
  mux.now = () => server.clock.now
  mux.webhookUrl = `${await server.listen()}/webhooks/mux`
  const people = await signUpEverybody(server)
  const { id: courseId } = await newCourse(server, people.instructor, { premium: true })
  succeeded(await subscribe(server, people.student, courseId))
  return { ...server, ...people, mux, courseId }
}

/** Uploads a lecture. Returns the lecture of the response. */
export async function addMuxLecture (server: MuxServer, file: string | Buffer = 'tiny.mp4'): Promise<MuxLecture> {
  const { instructor, courseId } = server
  return succeeded(await addLecture(server, instructor, courseId, { file })).json<MuxLecture>()
}

export async function lecturesOf ({ inject, student, courseId }: MuxServer): Promise<MuxLecture[]> {
  return (await inject({ url: `/subscribe/my-courses/${courseId}/lectures`, headers: student.headers })).json<
    MuxLecture[]
  >()
}

/**
 * Lets the server's time go by, `stepMs` at a look, until something holds; what is retried or asked after comes to its
 * turn.
 */
export async function until (
  server: TestApp,
  what: string,
  holds: () => Promise<boolean> | boolean,
  stepMs = 0
): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return
    server.clock.advance(stepMs)
    await sleep(25)
  }
  throw new Error(`it never came true that ${what}`)
}

/** Waits until the only lecture is ready or failed. */
export async function settledLecture (server: MuxServer, stepMs = 0): Promise<MuxLecture> {
  await until(
    server,
    'the lecture is ready or failed',
    async () => (await lecturesOf(server))[0]!.status !== 'processing',
    stepMs
  )
  return (await lecturesOf(server))[0]!
}
