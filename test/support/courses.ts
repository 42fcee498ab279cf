import type { Response } from 'light-my-request'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import { fixture, form, signUp, type FormPart, type Person, type TestApp } from './test-app.js'

export const unknown = '019377a4-3f00-7000-8000-000000000000'

export interface Course {
  id: string
  title: string
  description: string
  duration: number
  lectures_count: number
  premium: boolean
  instructor_id: string
  created_at: string
  updated_at: string
}
export interface Lecture {
  id: string
  title: string
  asset_id: string
  playback_id: string
  url: string
  duration: number
  course_id: string
  position: number
  status: string
}
export interface BatchResult {
  success: boolean
  lecture: Lecture | null
  error: { code: string; message: string } | null
  video_filename: string
}
export interface BatchReply {
  total_videos: number
  successful_uploads: number
  failed_uploads: number
  results: BatchResult[]
}
export interface Page<T> {
  items: T[]
  total: number
  page: number
  size: number
  pages: number
}
type Server = Pick<TestApp, 'inject'>
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export const courseText = {
  title: 'Introduction to Algorithms',
  description: 'Sorting, searching, and why it matters.'
}
export const lectureText = {
  title: 'Sorting',
  description: 'From bubble sort to quicksort.',
  category: 'Computer science',
  subcategory: 'Algorithms'
}

export async function call (
  server: Server,
  method: Method,
  url: string,
  person?: Person,
  payload?: unknown
): Promise<Response> {
  return await server.inject({
    method,
    url,
    headers: person?.headers,
    ...(payload !== undefined && { payload: payload as object })
  })
}

/** A call that must succeed; answers its JSON. */
export async function done<T> (
  server: Server,
  method: Method,
  url: string,
  person?: Person,
  payload?: unknown
): Promise<T> {
  return succeeded(await call(server, method, url, person, payload)).json<T>()
}

export function succeeded (reply: Response): Response {
  if (reply.statusCode >= 300) throw new Error(`was refused: ${reply.statusCode} ${reply.body}`)
  return reply
}

export const newCourse = async (server: Server, owner: Person, text: object = {}) =>
  await done<Course>(server, 'POST', '/course', owner, { ...courseText, ...text })
export const findCourse = async (server: Server, id: string) => await done<Course>(server, 'GET', `/course/${id}`)
export const subscribe = async (server: Server, student: Person, courseId: string) =>
  await call(server, 'POST', '/subscribe', student, { course_id: courseId })
export const myLectures = async (server: Server, student: Person, courseId: string) =>
  await done<Lecture[]>(server, 'GET', `/subscribe/my-courses/${courseId}/lectures`, student)

export const part = async (name = 'tiny.mp4', field = 'lecture_file'): Promise<FormPart> => ({
  name: field,
  value: await fixture(name),
  fileName: name
})
export const textParts = (fields: object): FormPart[] =>
  Object.entries(fields).map(([name, value]) => ({ name, value: String(value) }))

export async function postForm (
  server: Server,
  url: string,
  person: Person | undefined,
  parts: FormPart[]
): Promise<Response> {
  const { headers, payload } = form(parts)
  return await server.inject({ method: 'POST', url, headers: { ...headers, ...person?.headers }, payload })
}

export async function addLecture (
  server: Server,
  person: Person | undefined,
  courseId: string,
  { file = 'tiny.mp4', ...fields }: { file?: string; title?: string } = {}
): Promise<Response> {
  return await postForm(server, '/course/add-lecture', person, [
    ...textParts({ ...lectureText, ...fields, course_id: courseId }),
    await part(file)
  ])
}

export const newLecture = async (
  server: Server,
  owner: Person,
  courseId: string,
  fields: { file?: string; title?: string } = {}
) => succeeded(await addLecture(server, owner, courseId, fields)).json<Lecture>()

/** Sends a batch of fixtures; `data` is the array, or the text to send in its place. */
export async function addBatch (
  server: Server,
  person: Person | undefined,
  files: Array<string | FormPart>,
  data: unknown,
  fields: object = {}
): Promise<Response> {
  const parts = await Promise.all(
    files.map(async (file) => (typeof file === 'string' ? await part(file, 'lectures_files') : file))
  )
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return await postForm(server, '/course/add-lectures-batch', person, [
    ...textParts({ ...fields, ...(data !== undefined && { lectures_data: text }) }),
    ...parts
  ])
}

export interface Kept {
  files: number
  media: number
  lectures: number
}

/** What is stored: files, and the rows that own them. */
export async function kept (server: TestApp): Promise<Kept> {
  const count = async (table: string) => (await server.query(`select id from ${table}`)).length
  return { files: (await server.storedFiles()).length, media: await count('media'), lectures: await count('lectures') }
}

/** Holds what is stored against what it must be; a refused upload may be removed a moment after its answer. */
export async function keeps (t: Test, server: TestApp, before: Kept, more: number, what: string): Promise<void> {
  const expected = { files: before.files + more, media: before.media + more, lectures: before.lectures + more }
  let now = await kept(server)
  for (let tries = 0; tries < 50 && !isDeepStrictEqual(now, expected); tries++) {
    await sleep(100)
    now = await kept(server)
  }
  t.same(now, expected, `${what}: as many files, media and lectures as there should be`)
}

/** The path and query of a link, for `inject`. */
export const pathOf = (url: string) => new URL(url).pathname + new URL(url).search

export interface Class {
  course: Course
  lectures: Lecture[]
  lecture: Lecture
  student: Person
}

/** A course with a lecture, and a student who is subscribed to it. */
export async function newClass (server: Server, owner: Person, files = ['tiny.mp4']): Promise<Class> {
  const course = await newCourse(server, owner)
  const lectures: Lecture[] = []
  for (const file of files) lectures.push(await newLecture(server, owner, course.id, { file }))
  const student = await signUp(server, 'student')
  succeeded(await subscribe(server, student, course.id))
  return { course, lectures, lecture: lectures[0]!, student }
}
