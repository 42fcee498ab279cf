import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { call } from '../test/support/server-process.js'
import { requestsOf, type Bench, type Row } from './bench.js'
import { get, measureLoad } from './load.js'
import { startProgram, type Program } from './processes.js'
import { linkedMedia, startBenchServer } from './bench-server.js'

const CONNECTIONS = 128
const COURSES = 10
const kinds = ['course list', 'analytics', 'media'] as const

/** What pages ask all the time, against the same documents out of a handler that does nothing. */
export const jsonReads: Bench = {
  name: 'json',
  about: 'GET /course/all (10 courses), /media/{id}/analytics (30 days) and /media/{id} with a token',
  unit: 'request',
  gated: true,
  passes: { laptop: 3 },
  rounds: { laptop: 6 },
  warmUp: 1,
  rows: kinds.map((kind): Row => ({
    what: `JSON read: ${kind}`,
    figure: 'rate',
    subject: `Playgate, ${kind}`,
    baseline: `bare Fastify, ${kind}`,
    atLeast: 0.3
  })),
  async open (t, length) {
    const server = await startBenchServer(t)
    const { origin, token } = server
    for (let course = 0; course < COURSES; course++) {
      const { status } = await call(origin, '/course', {
        token,
        json: { title: `Course ${course}`, description: 'Sorting, searching, and why it matters. '.repeat(5) }
      })
      if (status !== 201) throw new Error(`could not make a course: ${status}`)
    }
    const id = await linkedMedia(server)
    for (let view = 0; view < 20; view++) await call(origin, `/media/${id}/view`, { method: 'POST' })
    const paths = { 'course list': '/course/all', analytics: `/media/${id}/analytics`, media: `/media/${id}` }
    const headers = { authorization: `Bearer ${token}` }
    const documents: Record<string, unknown> = {}
    for (const path of Object.values(paths)) {
      const { status, body } = await call(origin, path, { token })
      if (status !== 200) throw new Error(`${path}: ${status}`)
      documents[path] = body
    }
    const replies = join(server.env.DATA_DIR!, 'replies.json')
    await writeFile(replies, JSON.stringify(documents))
    const bare = await startProgram(t, 'bench/baselines/handlers.js', { REPLIES: replies })
    const count = requestsOf(length)
    const side = (program: Program, path: string) => () =>
      measureLoad(program, {
        kind: 'requests',
        origin: program.origin,
        connections: CONNECTIONS,
        count,
        requests: [get(path, headers)],
        expect: 200
      })
    return Object.fromEntries(
      kinds.flatMap((kind) => [
        [`Playgate, ${kind}`, side(server, paths[kind])],
        [`bare Fastify, ${kind}`, side(bare, paths[kind])]
      ])
    )
  }
}
