import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MiB } from '../../../src/bytes.js'
import { noiseWav } from '../../support/raw-http.js'
import { call, eventually, startServer, type ServerProcess } from '../../support/server-process.js'
import { postgresEnvironment, withoutPostgres } from '../../support/test-app.js'
import { newToken } from '../../support/client.js'
import { stalledPatch } from '../../support/slow-patch.js'
import { metadataOf } from '../../support/tus.js'

// Two processes on one database and one folder: an upload that one of them receives continues on the other one.

const file = noiseWav(8 * MiB)
const sha256 = createHash('sha256').update(file).digest('hex')
const half = 4 * MiB
const TUS = { 'tus-resumable': '1.0.0' }
const MAX_HANDOVER_MS = 5000

interface Pair {
  folder: string
  a: ServerProcess
  b: ServerProcess
  token: string
}

async function startPair (t: Test): Promise<Pair> {
  const { env, folder } = await postgresEnvironment(t)
  const [a, b] = [await startServer(t, env), await startServer(t, env)]
  return { folder, a, b, token: await newToken(a.origin, 'ada@example.org') }
}

/** Creates an upload on A, and leaves a request open of which A has written the first half. Returns its path. */
async function beginOnA ({ folder, a, token }: Pair): Promise<{ path: string; closed: Promise<void> }> {
  const metadata = metadataOf({ title: 'A', sha256 })
  const headers = { ...TUS, 'upload-length': String(file.length), 'upload-metadata': metadata }
  const reply = await call(a.origin, '/media/uploads', { method: 'POST', token, headers })
  const path = reply.headers.get('location')!
  const part = { offset: 0, bytes: file.subarray(0, half), length: file.length }
  const { closed } = await stalledPatch(a.origin + path, token, part)
  const drafts = join(folder, 'uploads', 'tmp')
  // A writes blocks of 1 MiB and a little: the rest of the last block may still be in its memory.
  const isWritten = async () => {
    const [name] = await readdir(drafts)
    return name !== undefined && (await stat(join(drafts, name))).size > half - MiB
  }
  await eventually('A has written the first half', isWritten)
  return { path, closed }
}

const offsetOn = async ({ origin }: ServerProcess, path: string, token: string): Promise<number> => {
  const reply = await call(origin, path, { method: 'HEAD', token, headers: TUS })
  if (reply.status !== 200) throw new Error(`no offset: ${reply.status} ${JSON.stringify(reply.body)}`)
  return Number(reply.headers.get('upload-offset'))
}

async function sendRestOnB (t: Test, { b, token }: Pair, path: string, offset: number): Promise<void> {
  const headers = { ...TUS, 'upload-offset': String(offset), 'content-type': 'application/offset+octet-stream' }
  const reply = await call(b.origin, path, { method: 'PATCH', token, headers, body: file.subarray(offset) })
  t.equal(reply.status, 204, JSON.stringify(reply.body))
  const media = await call(b.origin, reply.headers.get('media-location')!, { token })
  t.match(media.body, { sha256, size_bytes: file.length })
}

t.test('a client that stalls on A continues on B within 5 s', { skip: withoutPostgres }, async (t) => {
  const pair = await startPair(t)
  const { path, closed } = await beginOnA(pair)
  const start = performance.now()
  const offset = await offsetOn(pair.b, path, pair.token)
  const took = performance.now() - start
  t.ok(took < MAX_HANDOVER_MS, `took ${Math.round(took)} ms`)
  t.ok(offset > half - MiB, `${offset} bytes that arrived are kept`)
  await closed
  await sendRestOnB(t, pair, path, offset)
})

t.test('a frozen process is replaced within 5 s, and does no harm later', { skip: withoutPostgres }, async (t) => {
  const pair = await startPair(t)
  const { path } = await beginOnA(pair)
  pair.a.child.kill('SIGSTOP')
  const start = performance.now()
  const offset = await offsetOn(pair.b, path, pair.token)
  const took = performance.now() - start
  t.ok(took < MAX_HANDOVER_MS, `took ${Math.round(took)} ms`)
  await sendRestOnB(t, pair, path, offset)
  pair.a.child.kill('SIGCONT')
  await eventually('A responds again', async () => (await call(pair.a.origin, '/livez')).status === 200)
  t.equal(await offsetOn(pair.a, path, pair.token), file.length)
  const list = await call(pair.a.origin, '/media', { token: pair.token })
  t.equal(list.body.total, 1)
})

t.test('after a SIGTERM, what arrived is stored, and B continues', { skip: withoutPostgres }, async (t) => {
  const pair = await startPair(t)
  const { path, closed } = await beginOnA(pair)
  t.equal(await pair.a.end('SIGTERM'), 0)
  await closed
  const offset = await offsetOn(pair.b, path, pair.token)
  t.ok(offset > half - MiB, `${offset} bytes that arrived are kept`)
  await sendRestOnB(t, pair, path, offset)
})
