import { createHash } from 'node:crypto'
import { readFile, readdir, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import SQLite from 'better-sqlite3'
import pg from 'pg'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { openDatabase } from '../../src/database/open.js'
import { listOwnedBlobs } from '../../src/media/media-store.js'
import { openDiskStore } from '../../src/storage/disk-store.js'
import { CONFIRM_AFTER_MS, Sweeper } from '../../src/storage/sweep.js'
import { engine, testEnvironment } from './test-app.js'
import { call, eventually, startServer, type Reply, type ServerProcess } from './server-process.js'
import { fixture } from './fixtures.js'
import { form, newToken } from './client.js'
import { clockOf } from './clock.js'

const MiB = 1024 * 1024
export const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

/** A WAV of silence, as large as a test needs it. */
export function wav (bytes: number): Buffer {
  const file = Buffer.alloc(44 + bytes)
  file.write('RIFF', 0)
  file.writeUInt32LE(36 + bytes, 4)
  file.write('WAVEfmt ', 8)
  file.writeUInt32LE(16, 16)
  for (const [value, at] of [
    [1, 20],
    [2, 22],
    [4, 32],
    [16, 34]
  ] as const) {
    file.writeUInt16LE(value, at)
  }
  file.writeUInt32LE(44_100, 24)
  file.writeUInt32LE(176_400, 28)
  file.write('data', 36)
  file.writeUInt32LE(bytes, 40)
  return file
}

function mediaForm (content: Buffer): ReturnType<typeof form> {
  const isWav =
    content.subarray(0, 4).equals(Buffer.from('RIFF')) && content.subarray(8, 12).equals(Buffer.from('WAVE'))
  return form([
    { name: 'title', value: 'A title' },
    { name: 'type', value: isWav ? 'audio' : 'video' },
    { name: 'file', value: content, fileName: 'a' }
  ])
}

/** Uploads a file by a form; never throws for a status, and answers 0 where the connection ended. */
export async function uploadForm (origin: string, token: string, content: Buffer): Promise<Reply> {
  const { headers, payload } = mediaForm(content)
  return await call(origin, '/media', { method: 'POST', token, headers, body: payload })
}

/** The ways in for a file: a form, or a body that is the file itself. */
export type UploadWay = 'POST /media' | 'PUT /media/uploads'

/** Those that a server offers. */
export async function uploadWays (origin: string): Promise<UploadWay[]> {
  const { paths } = (await call(origin, '/openapi.json')).body as unknown as { paths: Record<string, object> }
  return ['POST /media', ...('/media/uploads' in paths ? (['PUT /media/uploads'] as const) : [])]
}

/**
 * An upload of a large WAV that stands still halfway, with its draft on disk, until `finish`, which answers as
 * {@link uploadForm}.
 */
export async function holdUpload (
  origin: string,
  token: string,
  uploadDir: string,
  content: Buffer,
  way: UploadWay = 'POST /media'
): Promise<{ draft: string; finish(): Promise<Reply> }> {
  const folder = join(uploadDir, 'tmp')
  const before = new Set(await readdir(folder))
  const { headers, payload } = way === 'POST /media' ? mediaForm(content) : { headers: {}, payload: content }
  const [method, path] =
    way === 'POST /media' ? ['POST', '/media'] : ['PUT', '/media/uploads?title=A%20title&type=audio']
  const upload = request(origin + path, {
    method,
    agent: false,
    headers: { ...headers, authorization: `Bearer ${token}`, 'content-length': payload.length }
  })
  const answer = new Promise<Reply>((resolve) => {
    upload.once('error', (error) => resolve({ status: 0, headers: new Headers(), body: { error: String(error) } }))
    upload.once('response', (reply) => {
      void text(reply).then((body) =>
        resolve({
          status: reply.statusCode!,
          headers: new Headers(reply.headers as Record<string, string>),
          body: JSON.parse(body) as Reply['body']
        })
      )
    })
  })
  upload.write(payload.subarray(0, payload.length - 1024))
  const written = async () => {
    const fresh = (await readdir(folder)).find((name) => !before.has(name))
    return fresh !== undefined && (await stat(join(folder, fresh))).size > 0 ? join(folder, fresh) : undefined
  }
  await eventually('the draft is on disk', async () => (await written()) !== undefined)
  return {
    draft: (await written())!,
    async finish () {
      upload.end(payload.subarray(-1024))
      return await answer
    }
  }
}

/** Rows of a query, straight from the database of a server, whether that runs or not. */
export async function rowsOf<T> ({ DATABASE_URL: url }: Record<string, string>, sql: string): Promise<T[]> {
  if (engine === 'sqlite') {
    const file = new SQLite(url!.slice('sqlite:'.length), { timeout: 5000 })
    try {
      return file.prepare(sql).all() as T[]
    } finally {
      file.close()
    }
  }
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows as T[]
  } finally {
    await client.end()
  }
}

const isDead = ({ child }: ServerProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** A server that dies and is started again, and what it has acknowledged in all its lives. */
export interface Victim {
  env: Record<string, string>
  token: string
  server: ServerProcess
  /** Acknowledged uploads: id and SHA-256. */
  uploads: Map<string, string>
  /** Acknowledged views of the one media that is watched. */
  views: number
  /** Answers that were neither a success nor the end of a connection by the server's death. */
  odd: string[]
  /** All three answer whether they were acknowledged; `meanwhile` happens when the draft is half on disk. */
  upload(content: Buffer): Promise<boolean>
  uploadHeld(meanwhile: (draft: string) => Promise<void>): Promise<boolean>
  view(): Promise<boolean>
  /** Uploads and views on eight lanes until the server is dead. */
  work(): Promise<void>
  /** Starts it again, for this once with other settings. */
  restart(more?: Record<string, string>): Promise<void>
  /** Holds files, rows and figures against what was acknowledged, and sweeps. */
  check(t: Test, when: string): Promise<void>
}

export async function startVictim (t: Test): Promise<Victim> {
  const { env, folder } = await testEnvironment(t, { ACCESS_TOKEN_EXPIRE_MINUTES: '600' })
  const files = [...(await Promise.all(['tiny.mp4', 'tiny.avi', 'tiny.mkv'].map(fixture))), wav(2 * MiB)]
  const server = await startServer(t, env)
  const token = await newToken(server.origin, 'owner@example.org')
  /** What rows say of their files was compared with these already. */
  const read = new Set<string>()
  let triedViews = 0

  async function acknowledged (victim: Victim, reply: Reply, status: number): Promise<boolean> {
    if (reply.status === status) return true
    if (reply.status === 0) await eventually('a server that ends a connection is dead', () => isDead(victim.server))
    else victim.odd.push(`${reply.status} ${JSON.stringify(reply.body)}`)
    return false
  }

  async function remember (victim: Victim, reply: Reply, content: Buffer): Promise<boolean> {
    if (!(await acknowledged(victim, reply, 201))) return false
    victim.uploads.set(reply.body.id as string, sha256(content))
    return true
  }

  const victim: Victim = {
    env,
    token,
    server,
    uploads: new Map(),
    views: 0,
    odd: [],

    async upload (content) {
      return await remember(this, await uploadForm(this.server.origin, token, content), content)
    },

    async uploadHeld (meanwhile) {
      const content = files.at(-1)!
      const { draft, finish } = await holdUpload(this.server.origin, token, env.UPLOAD_DIR!, content)
      await meanwhile(draft)
      return await remember(this, await finish(), content)
    },

    async view () {
      triedViews++
      if (
        !(await acknowledged(
          this,
          await call(this.server.origin, `/media/${watched}/view`, { method: 'POST', token }),
          200
        ))
      ) {
        return false
      }
      this.views++
      return true
    },

    async work () {
      const lane = async (one: () => Promise<unknown>) => {
        while (!isDead(this.server)) await one()
      }
      await Promise.all([
        ...files.map((content) => lane(() => this.upload(content))),
        ...Array.from({ length: 4 }, () => lane(() => this.view()))
      ])
    },

    async restart (more = {}) {
      await this.server.end()
      this.server = await startServer(t, { ...env, ...more })
    },

    async check (t, when) {
      const rows = await rowsOf<{ id: string; blob_name: string; sha256: string }>(
        env,
        'select id, blob_name, sha256 from media'
      )
      const hashes = new Map(rows.map((row) => [row.id, row.sha256]))
      const lost = [...this.uploads].filter(([id, hash]) => hashes.get(id) !== hash)
      t.same(lost, [], `${when}: each of ${this.uploads.size} acknowledged uploads has its row`)
      const wrong = []
      for (const { blob_name: name, sha256: hash } of rows) {
        if (
          !read.has(name) &&
          sha256(await readFile(join(folder, 'uploads/blobs', name)).catch(() => Buffer.from('missing'))) !== hash
        ) {
          wrong.push(name)
        }
        read.add(name)
      }
      t.same(wrong, [], `${when}: each row has its file, whole`)
      t.same(
        await filesAfterSweep(env, folder, rows.length),
        rows.map((row) => row.blob_name).sort(),
        `${when}: each file has its row after the sweep, and none is lost`
      )
      const [log] = await rowsOf<{ count: number }>(
        env,
        `select count(*) as count from views where media_id = '${watched}'`
      )
      const { body } = await call(this.server.origin, `/media/${watched}/analytics`, { token })
      const counted = Number(log!.count)
      t.equal(body.total_views, counted, `${when}: figures and log agree`)
      t.ok(
        this.views <= counted && counted <= triedViews,
        `${when}: ${this.views} views acknowledged <= ${counted} counted <= ${triedViews} tried`
      )
    }
  }
  await victim.upload(files[0]!)
  const watched = [...victim.uploads.keys()][0]
  return victim
}

/**
 * On SQLite a server sweeps when it starts; where others may share the store, it takes two looks with 15 minutes
 * between.
 */
async function filesAfterSweep (env: Record<string, string>, folder: string, expected: number): Promise<string[]> {
  const files = async () =>
    [...(await readdir(join(folder, 'uploads/tmp'))), ...(await readdir(join(folder, 'uploads/blobs')))].sort()
  if (engine === 'sqlite') {
    await eventually('the sweep at the start is done', async () => (await files()).length === expected, 5000).catch(
      () => {}
    )
    return await files()
  }
  await sweepTwice(env)
  return await files()
}

/** Sweeps as another process would: two looks, with 15 minutes between on its clock. */
export async function sweepTwice (env: Record<string, string>): Promise<void> {
  const db = openDatabase(loadConfig(env).database)
  const clock = { now: 0 }
  const sweeper = new Sweeper({
    store: await openDiskStore(env.UPLOAD_DIR!),
    owned: (names) => listOwnedBlobs(db, names),
    clock: clockOf(() => clock.now)
  })
  await sweeper.sweep()
  clock.now += CONFIRM_AFTER_MS
  await sweeper.sweep()
  await db.destroy()
}
