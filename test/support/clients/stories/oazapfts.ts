import { ok, type RequestOpts } from '@oazapfts/runtime'
import type { CourseStory, FilmStory, Refusal } from '../story.js'
import * as api from '../client/oazapfts.js'

const password = 'secure_password123'
const about = { category: 'Computing', subcategory: 'Languages' }

export async function film (origin: string, movie: Blob): Promise<FilmStory> {
  const { token } = await ok(api.signUp({ body: { email: 'ada@example.org', password } }, { baseUrl: origin }))
  const ada = optionsOf(origin, token)
  const { id, ...media } = await ok(api.createMedia({ body: { title: 'My film', type: 'video', file: movie } }, ada))
  const copy = await ok(api.putMedia({ title: 'My film again', $type: 'video', body: movie }, ada))
  const link = await ok(api.getStreamUrl({ id, expiresIn: 'auto' }, ada))
  const part = await fetch(link.stream_url, { headers: { range: 'bytes=0-999' } })
  const { message } = await ok(api.logView({ id }, ada))
  const figures = await ok(api.getAnalytics({ id }, ada))
  const log = await ok(api.listViews({ id }, ada))
  const revocation = await api.revokeStreamUrls({ id }, ada)
  return {
    hashes: [media.sha256, copy.sha256],
    codecs: media.codecs,
    range: [part.status, (await part.blob()).size],
    views: {
      total: figures.total_views,
      unique: figures.unique_viewers,
      perDay: Object.values(figures.views_per_day),
      logged: log.items.length,
      message
    },
    revoked: revocation.status,
    afterRevocation: await statusOf(link.stream_url)
  }
}

export async function course (origin: string, movie: Blob): Promise<CourseStory> {
  const grace = await newcomer(origin, { first_name: 'Grace', last_name: 'Hopper' }, 'instructor', '+1234567890')
  const alan = await newcomer(origin, { first_name: 'Alan', last_name: 'Turing' }, 'student', '+1234567891')
  const compilers = { title: 'Compilers', description: 'From source to machine.' }
  const { id } = await ok(api.createCourse({ body: compilers }, grace.options))
  const lexing = { title: 'Lexing', description: 'Characters to tokens', ...about }
  await ok(api.addLecture({ body: { course_id: id, ...lexing, lecture_file: movie } }, grace.options))
  const entries = [
    { title: 'Parsing', description: 'Tokens to trees', ...about },
    { title: 'Linking', description: 'Trees to programs', ...about }
  ]
  const batch = await ok(
    api.addLectures(
      {
        body: { course_id: id, lectures_data: JSON.stringify(entries), lectures_files: [movie, movie] }
      },
      grace.options
    )
  )
  const all = await ok(api.listCourses({}, { baseUrl: origin }))
  await ok(api.subscribe({ body: { course_id: id } }, alan.options))
  const lectures = await ok(api.listSubscribedLectures({ courseId: id }, alan.options))
  const [first] = lectures
  if (first === undefined || first.url === null) throw new Error('there is no lecture to play')
  const watching = await statusOf(first.url)
  const report = { position_seconds: 1, watched_seconds: 1 }
  const progress = await ok(api.reportProgress({ id: first.id, body: report }, alan.options))
  const figures = await ok(api.getCourseAnalytics({ id }, grace.options))
  const leaving = await api.unsubscribe({ courseId: id }, alan.options)
  return {
    roles: [grace.role, alan.role],
    batch: {
      successful: batch.successful_uploads,
      files: batch.results.map((result) => result.video_filename),
      errors: batch.results.map((result) => result.error?.code)
    },
    courses: all.items.map((item) => item.title),
    lectures: lectures.map((lecture) => lecture.title),
    access: [watching, leaving.status, await statusOf(first.url)],
    progress: { reported: progress.position_seconds, completed: progress.completed },
    analytics: { subscribers: figures.subscribers, started: figures.lectures.map((lecture) => lecture.started) }
  }
}

export async function refusal (origin: string): Promise<Refusal> {
  // @ts-expect-error -- a password is required
  const reply = await api.signUp({ body: { email: 'ada@example.org' } }, { baseUrl: origin })
  if (reply.status === 201) throw new Error('an account without a password was accepted')
  return { status: reply.status, code: reply.data.code, paths: reply.data.errors?.map(({ path }) => path) ?? [] }
}

function optionsOf (origin: string, token: string): RequestOpts {
  return { baseUrl: origin, headers: { authorization: `Bearer ${token}` } }
}

async function newcomer (origin: string, name: { first_name: string; last_name: string }, role: string, phone: string) {
  const email = `${name.first_name}@example.org`
  const person = { ...name, email, password, date_of_birth: '1990-01-01', mobile_number: phone, role }
  await ok(api.register({ body: person }, { baseUrl: origin }))
  const session = await ok(api.logIn({ body: { email, password } }, { baseUrl: origin }))
  return { role: session.role, options: optionsOf(origin, session.access_token) }
}

async function statusOf (url: string): Promise<number> {
  const response = await fetch(url, { headers: { range: 'bytes=0-999' } })
  await response.arrayBuffer()
  return response.status
}
