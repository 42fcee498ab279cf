import { createReadStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { call, DemoFailure, digest, download, jsonOf, upload, type Answer, type FormFile } from './client.js'
import type { FakeMux } from './fake-mux.js'
import type { DemoFile, Terminal } from './terminal.js'

interface Person {
  name: string
  headers: { authorization: string }
}
/** The state that the steps share. */
interface DemoContext {
  origin: string
  terminal: Terminal
  files: DemoFile[]
  instructor: Person
  subscriber: Person
  outsider: Person
  fakeMux: FakeMux | undefined
}
interface Course {
  id: string
  title: string
  duration: number
  lectures_count: number
  instructor?: { first_name: string; last_name: string }
}
interface Lecture {
  id: string
  title: string
  position: number
  duration: number
  url: string
  media_id: string
  asset_id: string | null
  status: string
  error?: { message: string }
}
interface Batch {
  total_videos: number
  successful_uploads: number
  results: Array<{ lecture: Lecture | null; error: { message: string } | null; video_filename: string }>
}
interface Analytics {
  subscribers: number
  lectures: Array<{ lecture_id: string; title: string; views: number; started: number; completed: number }>
  drop_off_lecture_id: string | null
}

/** "At once" means within a second. */
const AT_ONCE_MS = 1000
/** The limit for three small files, and for polling that starts after five seconds. */
const MUX_MS = 30_000
/** The polling interval. The number of requests stays well below the limit of course requests. */
const LOOK_MS = 700
const TITLES = ['Sorting', 'Searching', 'Graphs']

/**
 * Runs the scenario of an instructor and two students, from signup to the end, and checks each step. `files` are the
 * lectures of the course. With a `fakeMux`, Mux plays them. **Throws** {@link DemoFailure} if a check fails.
 */
export async function runCourseScenario (
  origin: string,
  files: DemoFile[],
  terminal: Terminal,
  fakeMux?: FakeMux
): Promise<void> {
  terminal.step('Register an instructor and two students')
  jsonOf(
    await call(`${origin}/auth/signup`, {
      method: 'POST',
      json: { email: 'admin@example.org', password: crypto.randomUUID() }
    }),
    201
  )
  terminal.say('The first account of a fresh server is its administrator; these come after it.')
  const register = async (name: string, role: string, index: number) =>
    await registerPerson(origin, terminal, name, role, index)
  const context = {
    origin,
    terminal,
    files,
    fakeMux,
    instructor: await register('Ada Teacher', 'instructor', 1),
    subscriber: await register('Sam Student', 'student', 2),
    outsider: await register('Olga Outsider', 'student', 3)
  }
  const courseId = await makeCourse(context)
  await addBatch(context, courseId)
  if (fakeMux !== undefined) await awaitMux(context, courseId, fakeMux, 'webhook')
  fakeMux?.dropWebhooks()
  await addOne(context, courseId)
  if (fakeMux !== undefined) await awaitMux(context, courseId, fakeMux, 'asking: the webhooks were lost')
  await showList(context, courseId)
  const lectures = await subscribe(context, courseId)
  await (fakeMux === undefined ? watch(context, lectures) : watchByMux(context, fakeMux, lectures))
  await refuseOutsider(context, courseId, lectures)
  await reportProgress(context, courseId, lectures)
  await showAnalytics(context, courseId)
  await leave(context, courseId, lectures[0]!)
}

async function registerPerson (
  origin: string,
  terminal: Terminal,
  name: string,
  role: string,
  index: number
): Promise<Person> {
  const [first, last] = name.split(' ') as [string, string]
  const json = {
    first_name: first,
    last_name: last,
    email: `${first.toLowerCase()}@example.org`,
    password: crypto.randomUUID(),
    date_of_birth: '1990-01-01',
    mobile_number: `+100000000${index}`,
    role
  }
  const account = jsonOf<{ role: string; access_token: string }>(
    await call(`${origin}/auth/register`, { method: 'POST', json }),
    201
  )
  terminal.good(`201  ${name} is ${account.role}`)
  return { name, headers: { authorization: `Bearer ${account.access_token}` } }
}

async function makeCourse ({ origin, terminal, instructor }: DemoContext): Promise<string> {
  terminal.step('A course')
  const json = { title: 'Introduction to Algorithms', description: 'Sorting, searching, and why it matters.' }
  const course = jsonOf<Course>(
    await call(`${origin}/course`, { method: 'POST', headers: instructor.headers, json }),
    201
  )
  terminal.good(`201  "${course.title}", ${course.lectures_count} lectures, ${course.duration} s`)
  return course.id
}

const textOf = (index: number) => ({
  title: TITLES[index]!,
  description: 'A lecture of the demo.',
  category: 'Computer science',
  subcategory: 'Algorithms'
})

async function addBatch ({ origin, terminal, files, instructor }: DemoContext, courseId: string): Promise<void> {
  terminal.step('Two lectures in one batch')
  const sent = files.slice(0, 2).map((file): FormFile => ({ field: 'lectures_files', file }))
  const data = JSON.stringify(sent.map((_, index) => ({ ...textOf(index), course_id: courseId })))
  const progress = terminal.progress(sent.reduce((sum, { file }) => sum + file.sizeBytes, 0))
  const batch = jsonOf<Batch>(
    await upload(
      `${origin}/course/add-lectures-batch`,
      instructor.headers,
      { lectures_data: data },
      sent,
      progress.update
    ),
    201
  )
  progress.end()
  for (const { lecture, error, video_filename: name } of batch.results) {
    if (lecture === null) throw new DemoFailure(`${name} was not taken: ${error?.message}`)
    terminal.good(`201  ${name}: lecture ${lecture.position}, "${lecture.title}", ${lecture.duration} s`)
  }
  terminal.say(`${batch.successful_uploads} of ${batch.total_videos} uploaded`)
}

async function addOne ({ origin, terminal, files, instructor }: DemoContext, courseId: string): Promise<void> {
  terminal.step('One more lecture by itself')
  const file = files[2]!
  const progress = terminal.progress(file.sizeBytes)
  const lecture = jsonOf<Lecture>(
    await upload(
      `${origin}/course/add-lecture`,
      instructor.headers,
      { ...textOf(2), course_id: courseId },
      [{ field: 'lecture_file', file }],
      progress.update
    ),
    201
  )
  progress.end()
  terminal.good(`201  ${file.name}: lecture ${lecture.position}, "${lecture.title}", ${lecture.duration} s`)
}

async function showList ({ origin, terminal, files }: DemoContext, courseId: string): Promise<void> {
  terminal.step('The public list of courses')
  const { items, total } = jsonOf<{ items: Course[]; total: number }>(await call(`${origin}/course/all`), 200)
  const course = items.find(({ id }) => id === courseId)
  if (course?.lectures_count !== files.length) {
    throw new DemoFailure(`the list does not show the course with its ${files.length} lectures`)
  }
  terminal.good(
    `200  ${total} course: "${course.title}" by ${course.instructor?.first_name} ${course.instructor?.last_name}, ` +
      `${course.lectures_count} lectures, ${course.duration} s`
  )
}

async function subscribe (
  { origin, terminal, subscriber: { name, headers } }: DemoContext,
  courseId: string
): Promise<Lecture[]> {
  terminal.step('A student subscribes')
  jsonOf(await call(`${origin}/subscribe`, { method: 'POST', headers, json: { course_id: courseId } }), 201)
  const lectures = jsonOf<Lecture[]>(
    await call(`${origin}/subscribe/my-courses/${courseId}/lectures`, { headers }),
    200
  )
  terminal.good(`201  ${name} sees ${lectures.length} lectures, each with a link minted just now`)
  terminal.say(lectures[0]!.url)
  return lectures
}

async function watch ({ terminal, files }: DemoContext, lectures: Lecture[]): Promise<void> {
  terminal.step('Watch by those links')
  for (const [index, { url, title }] of lectures.entries()) {
    const own = await digest(createReadStream(files[index]!.path))
    const streamed = await download(url, () => {})
    if (streamed.status !== 200 || streamed.sha256 !== own.sha256) {
      throw new DemoFailure(
        `the stream of "${title}" (${streamed.status}, sha256 ${streamed.sha256}) is not the file (sha256 ` +
          `${own.sha256})`
      )
    }
    terminal.good(`${streamed.status}  "${title}", sha256 equals the file's: ${own.sha256.slice(0, 16)}…`)
  }
}

/** Waits until all lectures are ready at Mux. */
async function awaitMux (
  { origin, terminal, instructor: { headers } }: DemoContext,
  courseId: string,
  fakeMux: FakeMux,
  how: string
): Promise<void> {
  const deadline = performance.now() + MUX_MS
  let lectures: Lecture[]
  do {
    await sleep(LOOK_MS)
    lectures = jsonOf<Lecture[]>(await call(`${origin}/course/${courseId}/lectures`, { headers }), 200)
    const failed = lectures.find(({ status }) => status === 'failed')
    if (failed !== undefined) throw new DemoFailure(`"${failed.title}" failed: ${failed.error?.message}`)
  } while (lectures.some(({ status }) => status === 'processing') && performance.now() < deadline)
  if (lectures.some(({ status }) => status !== 'ready')) throw new DemoFailure('the lectures did not become ready')
  if (fakeMux.assets() !== lectures.length) {
    throw new DemoFailure(`there are ${fakeMux.assets()} assets for ${lectures.length} lectures`)
  }
  terminal.good(`ready, by ${how}: ${lectures.length} lectures, as many assets at Mux`)
}

/** Opens the links at Mux, and reports each view to this server. */
async function watchByMux (
  { origin, terminal, subscriber: { headers } }: DemoContext,
  fakeMux: FakeMux,
  lectures: Lecture[]
): Promise<void> {
  terminal.step('Watch by those links, at Mux')
  for (const { url, title, media_id: mediaId } of lectures) {
    const { sub, aud, kid, exp } = await fakeMux.open(url)
    expectStatus(await call(`${origin}/media/${mediaId}/view`, { method: 'POST', headers }), 200, 'the view')
    terminal.good(
      `200  "${title}": the token verifies, sub ${String(sub).slice(0, 8)}…, aud ${String(aud)}, kid ` +
        `${String(kid).slice(0, 8)}…, exp in ${Math.round(Number(exp) - Date.now() / 1000)} s`
    )
  }
}

async function refuseOutsider (
  { origin, terminal, fakeMux, outsider: { name, headers } }: DemoContext,
  courseId: string,
  lectures: Lecture[]
): Promise<void> {
  terminal.step('The other student, without a subscription')
  const refused = await call(`${origin}/subscribe/my-courses/${courseId}/lectures`, { headers })
  expectStatus(refused, 403, `${name}'s request for the lectures`)
  terminal.good(`403  ${name}: ${jsonOf<{ detail: string }>(refused, 403).detail}`)
  if (/mux\.com|token=/.test(refused.bytes.toString())) throw new DemoFailure('the refusal shows an address')
  const path = fakeMux === undefined ? new URL(lectures[0]!.url).pathname : `/media/${lectures[0]!.media_id}/stream-url`
  expectStatus(await call(origin + path, { headers }), 404, `${name}'s request for the stream`)
  terminal.good('404  the stream itself: there is no such thing for them')
}

async function reportProgress (
  { origin, terminal, subscriber: { headers } }: DemoContext,
  courseId: string,
  lectures: Lecture[]
): Promise<void> {
  terminal.step('Progress')
  for (const [index, { id, duration }] of lectures.slice(0, 2).entries()) {
    const seconds = index === 0 ? duration : duration / 2
    jsonOf(
      await call(`${origin}/lecture/${id}/progress`, {
        method: 'POST',
        headers,
        json: { position_seconds: seconds, watched_seconds: seconds }
      }),
      200
    )
  }
  const progress = jsonOf<{ percent: number; lectures: Array<{ percent: number; completed: boolean }> }>(
    await call(`${origin}/subscribe/my-courses/${courseId}/progress`, { headers }),
    200
  )
  if (progress.lectures.map(({ completed }) => completed).join() !== 'true,false,false') {
    throw new DemoFailure('the lecture that was watched whole is not the one that is completed')
  }
  terminal.good(`200  ${progress.percent} % of the course`)
  for (const [index, { percent, completed }] of progress.lectures.entries()) {
    terminal.say(
      `${lectures[index]!.title.padEnd(12)} ${String(percent).padStart(5)} %${completed ? '  completed' : ''}`
    )
  }
}

async function showAnalytics (
  { origin, terminal, instructor: { headers } }: DemoContext,
  courseId: string
): Promise<void> {
  terminal.step('Analytics of the course, for its owner')
  const analytics = jsonOf<Analytics>(await call(`${origin}/course/${courseId}/analytics`, { headers }), 200)
  const dropOff = analytics.lectures.find(({ lecture_id: id }) => id === analytics.drop_off_lecture_id)?.title
  if (analytics.subscribers !== 1 || analytics.lectures.some(({ views }) => views !== 1) || dropOff !== TITLES[1]) {
    throw new DemoFailure(`the analytics differ from the views and reports: ${JSON.stringify(analytics)}`)
  }
  terminal.good(`200  ${analytics.subscribers} subscriber; most stop at "${dropOff}"`)
  for (const { title, views, started, completed } of analytics.lectures) {
    terminal.say(`${title.padEnd(12)} ${views} view, ${started} started, ${completed} completed`)
  }
}

async function leave (
  { origin, terminal, fakeMux, subscriber: { name, headers } }: DemoContext,
  courseId: string,
  { url }: Lecture
): Promise<void> {
  terminal.step('The student leaves the course')
  if (fakeMux === undefined) {
    expectStatus(await call(url, { headers: { range: 'bytes=0-1' } }), 206, 'the link before leaving')
  }
  expectStatus(await call(`${origin}/subscribe/${courseId}`, { method: 'DELETE', headers }), 204, `${name}'s leaving`)
  terminal.good(`204  ${name} has left`)
  if (fakeMux !== undefined) {
    const lectures = await call(`${origin}/subscribe/my-courses/${courseId}/lectures`, { headers })
    expectStatus(lectures, 403, 'the list after leaving')
    terminal.good('403  no new URL; an issued one works until it expires, because Mux checks only its token')
    return
  }
  await sleep(AT_ONCE_MS)
  const refused = await call(url, { headers: { range: 'bytes=0-1' } })
  expectStatus(refused, 403, 'the old link')
  terminal.good(`403  ${jsonOf<{ code: string }>(refused, 403).code}: the old link a second later`)
}

function expectStatus ({ status }: Answer, expected: number, what: string): void {
  if (status !== expected) throw new DemoFailure(`${what} was answered ${status}, not ${expected}`)
}
