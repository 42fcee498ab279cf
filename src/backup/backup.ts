import type { Kysely } from 'kysely'
import { mkdir, readFile, readdir, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Config } from '../config/config.js'
import type { Database } from '../database/tables.js'
import { listBlobReferences, type BlobReference } from '../media/blob-reference-store.js'
import type { BlobStore } from '../storage/blob-store.js'
import { makeFolder, syncFolder } from '../storage/durable-folder.js'
import { VERSION } from '../version.js'
import { copyDatabase } from './database-copy.js'
import { copyFile, linkFile } from './copy-file.js'
import {
  BLOBS,
  BackupError,
  describeFile,
  writeDurably,
  writeManifest,
  type HashedFile,
  type Manifest,
  type ManifestEntry
} from './manifest.js'

/** If files vanish after the copy of the database, the database is copied again, at most this often. */
const MAX_ROUNDS = 5

interface Options {
  config: Pick<Config, 'database' | 'dataDir' | 'secretKey' | 'searchPath'>
  db: Kysely<Database>
  blobs: Pick<BlobStore, 'pathOf' | 'identity'>
  folder: string
  /** Links the files instead of copying them. */
  link: boolean
  withSecret: boolean
  onProgress(done: number, total: number): void
}

/** What a backup has. `findings` are faults of the files that were backed up. */
export interface BackupResult {
  manifest: Manifest
  findings: string[]
}

/**
 * Backs up a server, which may run meanwhile. First it copies all files, then the database of one moment, and then the
 * files that came in between. If a file of that moment vanished, it copies the database again. The manifest comes last,
 * so a backup that was interrupted is never taken for a whole one. **Throws** BackupError.
 */
export async function backUp (options: Options): Promise<BackupResult> {
  const { config, db, folder, blobs, onProgress } = options
  makeFolder(resolve(folder))
  if ((await readdir(folder)).length > 0) throw new BackupError(`${folder} is not empty: name a new folder`)
  await mkdir(join(folder, BLOBS))
  const copies = new FileCopies(options)
  const total = Number((await db.selectFrom('media').select((s) => s.fn.countAll().as('n')).executeTakeFirst())?.n ?? 0)
  let done = 0
  for await (const reference of listBlobReferences(db)) {
    if (reference.role === 'file') onProgress(++done, total)
    await copies.take(reference)
  }
  for (let round = 1; ; round++) {
    const { file, found } = await copyDatabase(config, db, folder, async (copy) => {
      const references: BlobReference[] = []
      for await (const reference of listBlobReferences(copy)) references.push(reference)
      return references
    })
    for (const reference of found) await copies.take(reference)
    const lost = found.filter(({ name }) => copies.find(name) === undefined)
    if (lost.length > 0 && round < MAX_ROUNDS) {
      await rm(join(folder, file.name))
      continue
    }
    await copies.keepOnly(new Set(found.map(({ name }) => name)))
    const files = found.map((reference) => entryOf(reference, copies.find(reference.name)))
    const manifest = {
      version: VERSION,
      createdAt: new Date().toISOString(),
      engine: config.database.engine,
      database: file,
      secret: options.withSecret ? await copySecret(options) : null,
      storeId: (await blobs.identity(undefined)) ?? null,
      files
    }
    for (const part of [join(folder, BLOBS), folder]) syncFolder(part)
    await writeManifest(folder, manifest)
    syncFolder(folder)
    return { manifest, findings: files.flatMap((entry) => faultOf(entry, copies.find(entry.name)) ?? []) }
  }
}

interface StoredCopy {
  sizeBytes: number
  sha256: string | null
}

/** The files that are in the backup folder so far. */
class FileCopies {
  readonly #options: Options
  readonly #copies = new Map<string, StoredCopy>()

  constructor (options: Options) {
    this.#options = options
  }

  find (name: string): StoredCopy | undefined {
    return this.#copies.get(name)
  }

  /** Adds a file to the backup, unless it is there or does not exist. */
  async take ({ name }: BlobReference): Promise<void> {
    const { blobs, folder, link } = this.#options
    if (this.#copies.has(name)) return
    const [source, target] = [blobs.pathOf(name), join(folder, BLOBS, name)]
    try {
      const { mode } = await stat(source)
      const copy = link ? { sha256: null, ...(await linkFile(source, target)) } : await copyFile(source, target, mode)
      this.#copies.set(name, copy)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      await rm(target, { force: true })
    }
  }

  /** Removes the files that the copied database does not name. They belong to media that were deleted meanwhile. */
  async keepOnly (names: Set<string>): Promise<void> {
    for (const name of this.#copies.keys()) {
      if (names.has(name)) continue
      await rm(join(this.#options.folder, BLOBS, name), { force: true })
      this.#copies.delete(name)
    }
  }
}

/** The hash of the row is right by definition. Only files without one get the hash of their copy. */
function entryOf (reference: BlobReference, copy: StoredCopy | undefined): ManifestEntry {
  if (copy === undefined) return { ...reference, sizeBytes: reference.sizeBytes ?? 0, missing: true }
  return {
    ...reference,
    sizeBytes: reference.sizeBytes ?? copy.sizeBytes,
    sha256: reference.sha256 ?? copy.sha256
  }
}

function faultOf (entry: ManifestEntry, copy: StoredCopy | undefined): string | undefined {
  if (copy === undefined) return `the ${entry.role} of "${entry.title}" (${entry.mediaId}) is missing`
  const isIntact = copy.sizeBytes === entry.sizeBytes && (copy.sha256 ?? entry.sha256) === entry.sha256
  return isIntact ? undefined : `the ${entry.role} of "${entry.title}" (${entry.mediaId}) is damaged`
}

/** Writes the secret of the server into the folder: that of the environment, or that of DATA_DIR. */
async function copySecret ({ config, folder }: Options): Promise<HashedFile> {
  const [name, source] = ['secret.key', join(config.dataDir, 'secret.key')]
  const secret = config.secretKey ?? (await readFile(source, 'utf8').catch(() => undefined))
  if (secret === undefined) throw new BackupError(`${source} cannot be read: leave out --with-secret`)
  await writeDurably(join(folder, name), `${secret.trim()}\n`)
  return await describeFile(folder, name)
}
