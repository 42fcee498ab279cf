import type { TestApp } from './test-app.js'
import { signUpEverybody, upload, type Person } from './client.js'
import { newClass } from './courses.js'
import { ask, type WireReply } from './raw-http.js'

interface Shown {
  id: string
  status: string
  protection: string
  progress: number
  error?: { code: string; message: string }
}

export async function shown (server: TestApp, id: string, person: Person): Promise<Shown> {
  return (await server.inject({ url: `/media/${id}`, headers: person.headers })).json<Shown>()
}

/** Waits until a media is no longer being packaged. */
export async function settled (server: TestApp, id: string, person: Person): Promise<Shown> {
  for (let tries = 0; tries < 300; tries++) {
    // The clock of a test stands still, and facts may be a second old by it.
    server.clock.advance(50)
    const media = await shown(server, id, person)
    if (media.status !== 'processing') return media
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${id} is still being packaged`)
}

/** Uploads a protected media and waits until it is ready; answers its id. */
export async function protectedMedia (
  server: TestApp,
  person: Person,
  file: string | Buffer = 'tiny.mp4',
  fields: Record<string, string> = {}
): Promise<string> {
  await server.listen()
  const reply = await upload(server, person, file, { protection: 'encrypted', ...fields })
  const { id } = reply.json<{ id: string }>()
  const media = await settled(server, id, person)
  if (media.status !== 'ready') throw new Error(`it could not be packaged: ${JSON.stringify(media)}`)
  return id
}

export interface Stream {
  master: string
  get(file: string, options?: Parameters<typeof ask>[2]): Promise<WireReply>
}

/** The protected stream behind an address that was given out. */
export async function streamOf (server: TestApp, url: string): Promise<Stream> {
  const origin = await server.listen()
  const path = url.startsWith('/') ? url : new URL(url).pathname
  const folder = path.slice(0, path.lastIndexOf('/') + 1)
  return { master: origin + path, get: (file, options) => ask(origin, folder + file, options) }
}

export async function mintStream (server: TestApp, id: string, person?: Person, query = ''): Promise<Stream> {
  const reply = await server.inject({ url: `/media/${id}/stream-url${query}`, headers: person?.headers })
  if (reply.statusCode !== 200) throw new Error(reply.body)
  return await streamOf(server, reply.json<{ stream_url: string }>().stream_url)
}

export const codeOf = ({ status, body }: WireReply) =>
  `${status} ${status < 400 ? '' : (JSON.parse(body.toString()) as { code: string }).code}`.trim()

/** A server's people, a course with one lecture, and a student who is subscribed to it. */
export async function courseWithLecture (
  server: TestApp,
  premium: boolean
): Promise<{ instructor: Person; student: Person; courseId: string; mediaId: string }> {
  const { instructor } = await signUpEverybody(server)
  await server.listen()
  const { course, lecture, student } = await newClass(server, instructor, ['tiny.mp4'], { premium })
  return { instructor, student, courseId: course.id, mediaId: lecture.asset_id }
}
