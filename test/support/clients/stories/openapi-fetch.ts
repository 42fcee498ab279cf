import createClient from 'openapi-fetch'
import type { CourseStory, FilmStory, Refusal } from '../story.js'
import type { paths } from './openapi-typescript.js'

const password = 'secure_password123'
const about = { category: 'Computing', subcategory: 'Languages' }

export async function film (origin: string, movie: Blob): Promise<FilmStory> {
  const account = { email: 'ada@example.org', password }
  const { token } = dataOf(await clientOf(origin).POST('/auth/signup', { body: account }))
  const api = clientOf(origin, token)
  const { id, ...media } = dataOf(
    await api.POST('/media', {
      body: { title: 'My film', type: 'video', file: movie },
      bodySerializer: form
    })
  )
  const copy = dataOf(
    await api.PUT('/media/uploads', {
      params: { query: { title: 'My film again', type: 'video' } },
      body: movie,
      bodySerializer: (body) => body,
      headers: { 'content-type': 'application/octet-stream' }
    })
  )
  const params = { path: { id } }
  const link = dataOf(await api.GET('/media/{id}/stream-url', { params: { ...params, query: { expires_in: 'auto' } } }))
  const part = await fetch(link.stream_url, { headers: { range: 'bytes=0-999' } })
  const { message } = dataOf(await api.POST('/media/{id}/view', { params }))
  const figures = dataOf(await api.GET('/media/{id}/analytics', { params }))
  const log = dataOf(await api.GET('/media/{id}/views', { params }))
  const { response: revocation } = await api.DELETE('/media/{id}/stream-url', { params })
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
  const { id } = dataOf(await grace.api.POST('/course', { body: compilers }))
  dataOf(
    await grace.api.POST('/course/add-lecture', {
      body: { course_id: id, title: 'Lexing', description: 'Characters to tokens', ...about, lecture_file: movie },
      bodySerializer: form
    })
  )
  const entries = [
    { title: 'Parsing', description: 'Tokens to trees', ...about },
    { title: 'Linking', description: 'Trees to programs', ...about }
  ]
  const batch = dataOf(
    await grace.api.POST('/course/add-lectures-batch', {
      body: { course_id: id, lectures_data: JSON.stringify(entries), lectures_files: [movie, movie] },
      bodySerializer: form
    })
  )
  const all = dataOf(await clientOf(origin).GET('/course/all'))
  dataOf(await alan.api.POST('/subscribe', { body: { course_id: id } }))
  const params = { path: { course_id: id } }
  const lectures = dataOf(await alan.api.GET('/subscribe/my-courses/{course_id}/lectures', { params }))
  const [first] = lectures
  if (first === undefined || first.url === null) throw new Error('there is no lecture to play')
  const watching = await statusOf(first.url)
  const progress = dataOf(
    await alan.api.POST('/lecture/{id}/progress', {
      params: { path: { id: first.id } },
      body: { position_seconds: 1, watched_seconds: 1 }
    })
  )
  const figures = dataOf(await grace.api.GET('/course/{id}/analytics', { params: { path: { id } } }))
  const { response: leaving } = await alan.api.DELETE('/subscribe/{course_id}', { params })
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
  const { error, response } = await clientOf(origin).POST('/auth/signup', { body: { email: 'ada@example.org' } })
  if (error === undefined) throw new Error('an account without a password was accepted')
  return { status: response.status, code: error.code, paths: error.errors?.map(({ path }) => path) ?? [] }
}

function clientOf (origin: string, token?: string) {
  return createClient<paths>({
    baseUrl: origin,
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } })
  })
}

async function newcomer (origin: string, name: { first_name: string; last_name: string }, role: string, phone: string) {
  const email = `${name.first_name}@example.org`
  const person = { ...name, email, password, date_of_birth: '1990-01-01', mobile_number: phone, role }
  dataOf(await clientOf(origin).POST('/auth/register', { body: person }))
  const session = dataOf(await clientOf(origin).POST('/auth/login', { body: { email, password } }))
  return { role: session.role, api: clientOf(origin, session.access_token) }
}

/** Throws the problem of a failed request. */
function dataOf<T> ({ data, error }: { data?: T; error?: { detail: string } }): T {
  if (data === undefined) throw new Error(error?.detail ?? 'the response has no body')
  return data
}

function form (body: Record<string, string | Blob | Blob[]>): FormData {
  const data = new FormData()
  for (const [name, value] of Object.entries(body)) {
    for (const part of Array.isArray(value) ? value : [value]) data.append(name, part)
  }
  return data
}

async function statusOf (url: string): Promise<number> {
  const response = await fetch(url, { headers: { range: 'bytes=0-999' } })
  await response.arrayBuffer()
  return response.status
}
