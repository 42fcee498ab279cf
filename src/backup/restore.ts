import { sql } from 'kysely'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rename } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../config/config.js'
import { openDatabase } from '../database/open.js'
import { makeFolder, syncFolder } from '../storage/durable-folder.js'
import { openDiskStore } from '../storage/disk-store.js'
import { copyFile } from './copy-file.js'
import { runPostgresTool } from './database-copy.js'
import { BLOBS, BackupError, hashFile, readManifest, writeDurably, type Manifest } from './manifest.js'

/** Read-only: the mark of a committed file (docs/decisions/0011-committed-files.md). */
const COMMITTED_MODE = 0o440

type Target = Pick<Config, 'database' | 'dataDir' | 'uploadDir' | 'secretKey' | 'searchPath'>

interface Options {
  folder: string
  target: Target
  onProgress(done: number, total: number): void
}

/**
 * Restores a backup into an empty database and an empty upload folder, and removes nothing. The database comes last, so
 * that an interrupted restore leaves no server that starts without its files. Returns the faults of the files.
 * **Throws** BackupError before it changes anything.
 */
export async function restoreBackup (options: Options): Promise<{ manifest: Manifest; findings: string[] }> {
  const { folder, target } = options
  const manifest = await readManifest(folder)
  await requireEmpty(manifest, target)
  const database = join(folder, manifest.database.name)
  if ((await hashFile(database)) !== manifest.database.sha256) {
    throw new BackupError(`${database} is damaged: its SHA-256 is another; use another backup`)
  }
  const findings = await restoreFiles(options, manifest)
  await restoreSecret(folder, manifest, target)
  await restoreDatabase(database, target)
  return { manifest, findings }
}

async function requireEmpty ({ engine }: Manifest, { database, uploadDir }: Target): Promise<void> {
  if (engine !== database.engine) {
    throw new BackupError(`the backup is of ${engine}, and DATABASE_URL is of ${database.engine}`)
  }
  const blobs = join(uploadDir, BLOBS)
  if (existsSync(blobs) && (await readdir(blobs)).length > 0) {
    throw new BackupError(`${resolve(blobs)} is not empty: nothing is overwritten; choose another UPLOAD_DIR`)
  }
  if (database.engine === 'sqlite') {
    const found = ['', '-wal', '-shm'].map((end) => resolve(database.path) + end).find((path) => existsSync(path))
    if (found === undefined) return
    throw new BackupError(`${found} exists: nothing is overwritten; move it away, or choose another DATABASE_URL`)
  }
  const db = openDatabase(database)
  try {
    const { rows } = await sql<{ n: number }>`
      select count(*) as n from information_schema.tables where table_schema = current_schema()`.execute(db)
    if (Number(rows[0]!.n) > 0) throw new BackupError('the database of DATABASE_URL has tables: create an empty one')
  } finally {
    await db.destroy()
  }
}

async function restoreFiles ({ folder, target, onProgress }: Options, manifest: Manifest): Promise<string[]> {
  const store = await openDiskStore(target.uploadDir)
  if (manifest.storeId !== null) await store.identity(manifest.storeId)
  const findings: string[] = []
  for (const [i, { name, role, title, mediaId, missing, sha256 }] of manifest.files.entries()) {
    onProgress(i, manifest.files.length)
    const subject = `the ${role} of "${title}" (${mediaId})`
    if (missing) {
      findings.push(`${subject} was missing when the backup was made`)
      continue
    }
    try {
      const copied = await copyFile(join(folder, BLOBS, name), store.pathOf(name), COMMITTED_MODE)
      if (sha256 !== null && copied.sha256 !== sha256) findings.push(`${subject} is damaged: its SHA-256 is another`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      findings.push(`${subject} is missing`)
    }
  }
  syncFolder(join(target.uploadDir, BLOBS))
  await store.close()
  return findings
}

/** A secret of the environment, or one that is there, stays. */
async function restoreSecret (folder: string, { secret }: Manifest, { secretKey, dataDir }: Target): Promise<void> {
  const path = join(dataDir, 'secret.key')
  if (secret === null || secretKey !== undefined || existsSync(path)) return
  makeFolder(dataDir)
  await writeDurably(path, await readFile(join(folder, secret.name), 'utf8'))
  syncFolder(dataDir)
}

async function restoreDatabase (source: string, { database, searchPath }: Target): Promise<void> {
  if (database.engine === 'postgres') {
    const target = ['--dbname', new URL(database.url).pathname.slice(1)]
    const options = ['--no-owner', '--no-privileges', '--single-transaction', '--exit-on-error']
    return await runPostgresTool({ url: database.url, searchPath }, 'pg_restore', [...options, ...target, source])
  }
  const folder = dirname(resolve(database.path))
  await mkdir(folder, { recursive: true })
  const draft = `${database.path}.restoring`
  await copyFile(source, draft, 0o600)
  await rename(draft, database.path)
  syncFolder(folder)
}
