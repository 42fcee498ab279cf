import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import type { TestApp } from './test-app.js'
import { fixture } from './fixtures.js'
import {
  call,
  done,
  postForm,
  signUp,
  succeeded,
  textParts,
  type Answer,
  type Caller,
  type Client,
  type FormPart,
  type Person
} from './client.js'

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

export const newCourse = async (server: Client, owner: Caller, text: object = {}) =>
  await done<Course>(server, 'POST', '/course', owner, { ...courseText, ...text })
export const findCourse = async (server: Client, id: string) => await done<Course>(server, 'GET', `/course/${id}`)
export const subscribe = async <A extends Answer>(server: Client<A>, student: Caller, courseId: string) =>
  await call(server, 'POST', '/subscribe', student, { course_id: courseId })
export const myLectures = async (server: Client, student: Caller, courseId: string) =>
  await done<Lecture[]>(server, 'GET', `/subscribe/my-courses/${courseId}/lectures`, student)

/** What a lecture is uploaded with; `file` is a fixture, or the content. */
interface LectureInput {
  file?: string | Buffer
  title?: string
}

export const part = async (file: string | Buffer = 'tiny.mp4', field = 'lecture_file'): Promise<FormPart> => ({
  name: field,
  value: typeof file === 'string' ? await fixture(file) : file,
  fileName: typeof file === 'string' ? file : 'a.mp4'
})

/** Uploads a lecture: a fixture, or the given content. */
export async function addLecture<A extends Answer> (
  server: Client<A>,
  person: Caller | undefined,
  courseId: string,
  { file = 'tiny.mp4', ...fields }: LectureInput = {}
): Promise<A> {
  return await postForm(server, '/course/add-lecture', person, [
    ...textParts({ ...lectureText, ...fields, course_id: courseId }),
    await part(file)
  ])
}

export const newLecture = async (
  server: Client,
  owner: Caller,
  courseId: string,
  fields: LectureInput = {}
) => succeeded(await addLecture(server, owner, courseId, fields)).json<Lecture>()

/** Sends a batch of fixtures; `data` is the array, or the text to send in its place. */
export async function addBatch<A extends Answer> (
  server: Client<A>,
  person: Caller | undefined,
  files: Array<string | FormPart>,
  data: unknown,
  fields: object = {}
): Promise<A> {
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

export interface Class {
  course: Course
  lectures: Lecture[]
  lecture: Lecture
  student: Person
}

/** A course with a lecture, and a student who is subscribed to it. */
export async function newClass (
  server: Client,
  owner: Caller,
  files = ['tiny.mp4'],
  text: object = {}
): Promise<Class> {
  const course = await newCourse(server, owner, text)
  const lectures: Lecture[] = []
  for (const file of files) lectures.push(await newLecture(server, owner, course.id, { file }))
  const student = await signUp(server, 'student')
  succeeded(await subscribe(server, student, course.id))
  return { course, lectures, lecture: lectures[0]!, student }
}
