import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { eventually } from '../test/support/server-process.js'
import { form } from '../test/support/client.js'
import type { Bench, CleanUp, Sample } from './bench.js'
import { withCleanUp } from './environment.js'
import { startPlaygate } from './processes.js'
import { newLink, startBenchServer } from './bench-server.js'

const CALLS = 10
/** For the rounds of the longest run. */
const LINKS = 10 * CALLS
const SAMPLE_FILE = join('test', 'fixtures', 'tiny.ogg')

interface Call {
  method: string
  path: string
  headers?: Record<string, string>
  body?: Buffer
}

/** The figures of one call. */
const sampleOf = (milliseconds: number): Sample => ({
  units: 1,
  seconds: milliseconds / 1000,
  cpuSeconds: 0,
  p50Ms: milliseconds
})

/** Sends a request, on the connection of an agent; resolves with its status and its time in milliseconds. */
async function send (origin: string, agent: Agent, { path, body, ...call }: Call) {
  const begin = performance.now()
  return await new Promise<{ status: number; milliseconds: number; body: string }>((resolve, reject) => {
    request(origin + path, { ...call, agent }, (response) => {
      let text = ''
      response
        .setEncoding('latin1')
        .on('data', (chunk: string) => {
          text += chunk
        })
        .on('error', reject)
        .on('end', () =>
          resolve({ status: response.statusCode!, milliseconds: performance.now() - begin, body: text })
        )
    })
      .on('error', reject)
      .end(body)
  })
}

/** Starts a server, waits until it is ready, and sends ten calls of a kind; resolves with the time of each. */
async function timesAfterStart (env: Record<string, string>, nextCall: () => Call): Promise<number[]> {
  return await withCleanUp(async (t) => {
    const { origin } = await startPlaygate(t, env)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    const probe = { method: 'GET', path: '/readyz' }
    await eventually('the server is ready', async () => (await send(origin, agent, probe)).status === 200)
    const times: number[] = []
    while (times.length < CALLS) {
      const call = nextCall()
      const { status, milliseconds, body } = await send(origin, agent, call)
      if (status >= 300) throw new Error(`${call.method} ${call.path}: ${status} ${body}`)
      times.push(milliseconds)
    }
    return times
  })
}

/** The calls that a client makes first, on an account and a file that are there. */
async function prepare (t: CleanUp): Promise<{ env: Record<string, string>; calls: Record<string, () => Call> }> {
  const server = await startBenchServer(t)
  const token = { authorization: `Bearer ${server.token}` }
  const parts = form([
    { name: 'title', value: 'Noise' },
    { name: 'type', value: 'audio' },
    { name: 'visibility', value: 'public' },
    { name: 'file', value: await readFile(SAMPLE_FILE), fileName: 'tiny.ogg' }
  ])
  const upload = { method: 'POST', path: '/media', headers: { ...parts.headers, ...token }, body: parts.payload }
  const agent = new Agent()
  const { id } = JSON.parse((await send(server.origin, agent, upload)).body) as { id: string }
  // The first stream of a link waits for its view, later ones do not.
  const links: string[] = []
  while (links.length < LINKS) links.push(await newLink(server, id))
  const ended = new Promise((resolve) => server.child.once('exit', resolve))
  server.child.kill('SIGTERM')
  await ended
  return {
    env: server.env,
    calls: {
      view: () => ({ method: 'POST', path: `/media/${id}/view`, headers: { 'content-length': '0' } }),
      login: () => ({
        method: 'POST',
        path: '/auth/login',
        headers: { 'content-type': 'application/json' },
        body: Buffer.from(JSON.stringify({ email: 'owner@example.org', password: 'secure_password123' }))
      }),
      upload: () => upload,
      link: () => ({ method: 'GET', path: `/media/${id}/stream-url`, headers: token }),
      stream: () => ({ method: 'GET', path: links.pop()! })
    }
  }
}

const KINDS = ['view', 'login', 'upload', 'link', 'stream']

/** The first calls after a start find everything compiled and started. */
export const firstCalls: Bench = {
  name: 'first-calls',
  about: 'the first and the tenth call of a kind after a server says that it is ready, each kind with its own starts',
  unit: 'call',
  gated: true,
  passes: { laptop: 1, full: 1 },
  rounds: { laptop: 5, full: 10 },
  warmUp: 0,
  rows: KINDS.map((kind) => ({
    what: `First ${kind} after a start`,
    figure: 'p50',
    subject: `first ${kind}`,
    baseline: `tenth ${kind}`,
    atMost: 3
  })),
  async open (t) {
    const { env, calls } = await prepare(t)
    const sides = KINDS.flatMap((kind) => {
      let times: number[] = []
      return [
        [
          `first ${kind}`,
          async () => {
            times = await timesAfterStart(env, calls[kind]!)
            return sampleOf(times[0]!)
          }
        ],
        [`tenth ${kind}`, async () => sampleOf(times[CALLS - 1]!)]
      ] as const
    })
    return Object.fromEntries(sides)
  }
}
