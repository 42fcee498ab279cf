import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { BlobReference } from '../media/blob-reference-store.js'

/** A file of a backup folder, with its SHA-256 in hex. */
export interface HashedFile {
  name: string
  sizeBytes: number
  sha256: string
}

/** A stored file in a backup. `sha256` is null for a linked file whose media has no hash of it. */
export interface ManifestEntry extends BlobReference {
  sizeBytes: number
  /** The file was missing when the backup was made. */
  missing?: true
}

/** The content of a backup. */
export interface Manifest {
  /** The version of Playgate that made the backup. */
  version: string
  createdAt: string
  engine: 'sqlite' | 'postgres'
  database: HashedFile
  secret: HashedFile | null
  /** The id of the store, which the database also has. */
  storeId: string | null
  files: ManifestEntry[]
}

export const BLOBS = 'blobs'
const MANIFEST = 'manifest.jsonl.gz'
/** Written last. It has the SHA-256 of the manifest. */
const COMPLETE = 'COMPLETE'
/** Names of blobs are random UUIDs. A manifest with another name could lead out of its folder. */
const BLOB_NAME = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const DATABASE_NAME = /^database\.(sqlite|dump)$/

/** A backup that cannot be made, read or restored. Its message says why, and what to do. */
export class BackupError extends Error {}

/** Writes the manifest, and then the mark of a whole backup. Both are durable. */
export async function writeManifest (folder: string, { files, ...head }: Manifest): Promise<void> {
  const lines = [head, ...files].map((line) => JSON.stringify(line))
  const content = gzipSync(`${lines.join('\n')}\n`)
  await writeDurably(join(folder, MANIFEST), content)
  await writeDurably(join(folder, COMPLETE), `${sha256Of(content)}\n`)
}

/**
 * Reads the manifest of a backup. **Throws** BackupError if the backup was not finished, or if its manifest was
 * changed.
 */
export async function readManifest (folder: string): Promise<Manifest> {
  const complete = await readFile(join(folder, COMPLETE), 'utf8').catch(() => undefined)
  if (complete === undefined) {
    throw new BackupError(`${folder} is no whole backup: it has no file ${COMPLETE}, which is written last`)
  }
  const content = await readFile(join(folder, MANIFEST)).catch(() => undefined)
  if (content === undefined || sha256Of(content) !== complete.trim()) {
    throw new BackupError(`${join(folder, MANIFEST)} is missing or damaged: use another backup`)
  }
  const [head, ...files] = gunzipSync(content)
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  const manifest = { ...(head as Omit<Manifest, 'files'>), files: files as ManifestEntry[] }
  if (!DATABASE_NAME.test(manifest.database.name) || manifest.files.some(({ name }) => !BLOB_NAME.test(name))) {
    throw new BackupError(`${join(folder, MANIFEST)} names files that no backup has`)
  }
  return manifest
}

/** Returns the SHA-256 of a file in hex, read in blocks. */
export async function hashFile (path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const block of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(block as Buffer)
  return hash.digest('hex')
}

export async function describeFile (folder: string, name: string): Promise<HashedFile> {
  const path = join(folder, name)
  return { name, sizeBytes: (await stat(path)).size, sha256: await hashFile(path) }
}

/** Writes a file that must not exist, so that a power cut does not lose it. */
export async function writeDurably (path: string, content: Buffer | string): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

function sha256Of (content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
