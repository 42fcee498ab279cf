import { requestsOf, type Bench } from './bench.js'
import { get, measureLoad } from './load.js'
import { startProgram, type Program } from './processes.js'
import { linkedMedia, startBenchServer } from './bench-server.js'

/** Viewers that post at a time: what comes while a commit waits for its disk goes into the next one. */
const CONNECTIONS = 256

/** Durable views, each answered after its fsync. */
export const viewPosts: Bench = {
  name: 'views',
  about: 'POST /media/{id}/view on SQLite (synchronous=FULL), 256 connections from 256 addresses',
  unit: 'request',
  gated: true,
  warmUp: 1,
  rows: [
    {
      what: 'Durable view POST',
      figure: 'cpu',
      subject: 'Playgate',
      baseline: 'one Kysely insert a request',
      atMost: 0.5
    },
    { what: 'Durable view POST', figure: 'rate', subject: 'Playgate', baseline: 'empty Fastify handler', atLeast: 0.25 }
  ],
  async open (t, length) {
    const server = await startBenchServer(t)
    const id = await linkedMedia(server)
    const other = await startBenchServer(t)
    const otherId = await linkedMedia(other)
    const insert = await startProgram(t, 'bench/baselines/insert-view.js', { DATABASE: other.database })
    other.child.kill('SIGKILL')
    const empty = await startProgram(t, 'bench/baselines/handlers.js', {})
    const side =
      (program: Program, path: string, count = requestsOf(length)) =>
        () =>
          measureLoad(program, {
            kind: 'requests',
            origin: program.origin,
            connections: CONNECTIONS,
            count,
            requests: [get(path, { 'content-length': '0' }, 'POST')],
            expect: 200
          })
    return {
      Playgate: side(server, `/media/${id}/view`),
      // Each waits for an fsync of its own.
      'one Kysely insert a request': side(insert, `/media/${otherId}/view`, requestsOf(length) / 2),
      'empty Fastify handler': side(empty, '/')
    }
  }
}
