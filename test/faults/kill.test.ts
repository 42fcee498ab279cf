import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, readdir } from 'node:fs/promises'
import { Agent, request, type IncomingMessage } from 'node:http'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import SQLite from 'better-sqlite3'
import pg from 'pg'
import t, { type Test } from 'tap'
import { engine, fixture, form, testEnvironment } from '../helper.js'

interface Running { child: ChildProcess, origin: string, exit: Promise<[code: number | null, signal: string | null]> }

/** Starts the real server; resolves when it has printed its address. */
async function start (t: Test, env: Record<string, string>, folder: string): Promise<Running> {
  const child = spawn(process.execPath, [resolve('dist/src/server.js')], { cwd: folder, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const exit = once(child, 'exit') as Running['exit']
  const origin = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.stdout!.on('data', (text: Buffer) => {
      output += text.toString()
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(output)
      if (address !== null) resolve(address[0])
    })
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${output}`)))
  })
  return { child, origin, exit }
}

async function signUp (origin: string): Promise<Record<string, string>> {
  const reply = await fetch(`${origin}/auth/signup`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email: 'owner@example.org', password: 'secure_password123' }) })
  return { authorization: `Bearer ${(await reply.json() as { token: string }).token}` }
}

async function rowsOf<T> (env: Record<string, string>, sql: string): Promise<T[]> {
  if (engine === 'sqlite') {
    const file = new SQLite(env.DATABASE_URL!.slice('sqlite:'.length), { timeout: 5000 })
    try {
      return file.prepare(sql).all() as T[]
    } finally {
      file.close()
    }
  }
  const client = new pg.Client({ connectionString: env.DATABASE_URL })
  await client.connect()
  try {
    return (await client.query(sql)).rows as T[]
  } finally {
    await client.end()
  }
}

const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex')

t.test('SIGKILL loses nothing that was acknowledged and leaves nothing half made', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const files = await Promise.all(['tiny.mp4', 'tiny.avi', 'tiny.mkv'].map(fixture))
  const acknowledged = new Map<string, string>()
  let views = 0
  let attempts = 0
  let server = await start(t, env, folder)
  const headers = await signUp(server.origin)

  async function upload (origin: string, content: Buffer): Promise<string> {
    const { headers: type, payload } = form([{ name: 'title', value: 'A title' }, { name: 'type', value: 'video' }, { name: 'file', value: content, fileName: 'a' }])
    const reply = await fetch(`${origin}/media`, { method: 'POST', headers: { ...headers, ...type }, body: new Uint8Array(payload) })
    const body = await reply.text()
    if (reply.status !== 201) throw new Error(`${reply.status}: ${body}`)
    const { id } = JSON.parse(body) as { id: string }
    acknowledged.set(id, sha256(content))
    return id
  }
  async function view (origin: string): Promise<void> {
    attempts++
    const reply = await fetch(`${origin}/media/${watched}/view`, { method: 'POST', headers })
    await reply.text()
    if (reply.status !== 200) throw new Error(String(reply.status))
    views++
  }
  const watched = await upload(server.origin, files[0]!)
  const refusals: string[] = []

  for (let kill = 0; kill < 6; kill++) {
    const state = { alive: true }
    const { origin, child, exit } = server
    const untilDead = async (work: () => Promise<unknown>) => {
      // A connection that ends is the kill; an answer that refuses would be a failure.
      while (state.alive) await work().catch((error: Error) => error.message === 'fetch failed' || error.message === 'terminated' || !state.alive || refusals.push(error.message))
    }
    const loops = [...files.map((content) => untilDead(() => upload(origin, content))), ...Array.from({ length: 4 }, () => untilDead(() => view(origin)))]
    const wanted = acknowledged.size + (kill % 2 === 0 ? 1 : 0)
    await sleep(80 + Math.random() * 500)
    // Every other round dies as it is, however little it has done; the others have something to lose.
    for (let tries = 0; tries < 100 && acknowledged.size < wanted; tries++) await sleep(100)
    child.kill('SIGKILL')
    await exit
    state.alive = false
    await Promise.all(loops)
    server = await start(t, env, folder)
    await checkFiles(kill)
    await checkViews()
  }
  t.same(refusals, [], 'nothing was refused')
  t.ok(acknowledged.size > 3, `${acknowledged.size} uploads and ${views} views were acknowledged`)
  for (const [id, hash] of acknowledged) {
    const reply = await fetch(`${server.origin}/media/stream/${id}`, { headers })
    t.equal(sha256(Buffer.from(await reply.arrayBuffer())), hash)
  }
  server.child.kill('SIGTERM')
  t.same(await server.exit, [0, null])

  async function checkFiles (kill: number): Promise<void> {
    const left = async () => [...await readdir(join(folder, 'uploads/tmp')), ...await readdir(join(folder, 'uploads/blobs'))]
    const rows = await rowsOf<{ id: string, blob_name: string, sha256: string }>(env, 'select id, blob_name, sha256 from media')
    const ids = new Set(rows.map(({ id }) => id))
    t.ok([...acknowledged.keys()].every((id) => ids.has(id)), `kill ${kill}: every acknowledged upload has its row`)
    for (const row of rows) t.equal(sha256(await readFile(join(folder, 'uploads/blobs', row.blob_name))), row.sha256)
    if (engine !== 'sqlite') return
    for (let tries = 0; tries < 50 && (await left()).length !== rows.length; tries++) await sleep(100)
    t.same((await left()).sort(), rows.map((row) => row.blob_name).sort(), `kill ${kill}: no file without a row`)
  }
  async function checkViews (): Promise<void> {
    const [log] = await rowsOf<{ count: number }>(env, `select count(*) as count from views where media_id = '${watched}'`)
    const reply = await fetch(`${server.origin}/media/${watched}/analytics`, { headers })
    const { total_views: total, views_per_day: days } = await reply.json() as { total_views: number, views_per_day: Record<string, number> }
    t.equal(total, Number(log!.count), 'figures and log agree')
    t.equal(Object.values(days).reduce((sum, count) => sum + count, 0), total)
    t.ok(total >= views && total <= attempts, `${views} acknowledged <= ${total} counted <= ${attempts} tried`)
  }
})

const MiB = 1024 * 1024
/** A WAV of silence, large enough not to fit into any socket's buffers. */
function wav (bytes: number): Buffer {
  const file = Buffer.alloc(44 + bytes)
  file.write('RIFF', 0)
  file.writeUInt32LE(36 + bytes, 4)
  file.write('WAVEfmt ', 8)
  file.writeUInt32LE(16, 16)
  for (const [value, at] of [[1, 20], [2, 22], [4, 32], [16, 34]] as const) file.writeUInt16LE(value, at)
  file.writeUInt32LE(44_100, 24)
  file.writeUInt32LE(176_400, 28)
  file.write('data', 36)
  file.writeUInt32LE(bytes, 40)
  return file
}

t.test('SIGTERM lets a slow download and a running upload finish, does not wait for idle sockets, and exits 0', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const { child, origin, exit } = await start(t, env, folder)
  const headers = await signUp(origin)
  const content = wav(32 * MiB)
  const { headers: type, payload } = form([{ name: 'title', value: 'Silence' }, { name: 'type', value: 'audio' }, { name: 'file', value: content, fileName: 'a' }])
  const made = await fetch(`${origin}/media`, { method: 'POST', headers: { ...headers, ...type }, body: new Uint8Array(payload) })
  t.equal(made.status, 201)
  const { id } = await made.json() as { id: string }

  const idle = request(`${origin}/livez`, { agent: new Agent({ keepAlive: true }) }).end()
  const [live] = await once(idle, 'response') as [IncomingMessage]
  live.resume()
  const download = request(`${origin}/media/stream/${id}`, { headers, agent: false }).end()
  const [stream] = await once(download, 'response') as [IncomingMessage]
  const upload = request(`${origin}/media`, { method: 'POST', headers: { ...headers, ...type, 'content-length': payload.length }, agent: false })
  upload.write(payload.subarray(0, MiB))
  await sleep(300)

  child.kill('SIGTERM')
  await sleep(500)
  t.equal(child.exitCode, null, 'work is under way')
  await t.rejects(fetch(`${origin}/livez`), 'no new connection is taken')
  const answer = once(upload, 'response') as Promise<[IncomingMessage]>
  upload.end(payload.subarray(MiB))
  const hash = createHash('sha256')
  for await (const chunk of stream) hash.update(chunk as Buffer)
  t.equal(hash.digest('hex'), sha256(content), 'the download is whole')
  const [reply] = await answer
  t.equal(reply.statusCode, 201, 'the upload is taken')
  reply.resume()
  const finished = Date.now()
  t.same(await exit, [0, null])
  t.ok(Date.now() - finished < 15_000, 'an idle socket does not hold it up')
  t.equal((await rowsOf(env, 'select id from media')).length, 2)
})
