import { sql } from 'kysely'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { listBlobReferences } from '../media/blob-reference-store.js'
import { openCopy, runPostgresTool } from './database-copy.js'
import { BLOBS, hashFile, readManifest, type HashedFile, type Manifest, type ManifestEntry } from './manifest.js'

/** The result of a verification. `unhashed` counts files of which only the size could be compared. */
export interface Verification {
  manifest: Manifest
  findings: string[]
  unhashed: number
}

/**
 * Checks a whole backup: the database opens and is intact, each of its media has its files, and every file has the size
 * and the hash of the manifest. `searchPath` is the `PATH` of pg_restore. **Throws** BackupError for a folder that is
 * no whole backup.
 */
export async function verifyBackup (
  folder: string,
  searchPath: string,
  onProgress: (done: number, total: number) => void
): Promise<Verification> {
  const manifest = await readManifest(folder)
  const findings = await faultsOfParts(folder, manifest)
  if (findings.length === 0) findings.push(...(await faultsOfDatabase(folder, manifest, searchPath)))
  let unhashed = 0
  for (const [i, entry] of manifest.files.entries()) {
    onProgress(i, manifest.files.length)
    const fault = await faultOf(folder, entry)
    if (fault !== undefined) findings.push(`the ${entry.role} of "${entry.title}" (${entry.mediaId}) ${fault}`)
    if (entry.sha256 === null) unhashed++
  }
  return { manifest, findings, unhashed }
}

async function faultsOfParts (folder: string, { database, secret }: Manifest): Promise<string[]> {
  const faults = await Promise.all(
    [database, secret].map(async (part) => {
      const fault = part === null ? undefined : await faultOfFile(join(folder, part.name), part)
      return fault === undefined ? [] : [`${part!.name} ${fault}`]
    })
  )
  return faults.flat()
}

async function faultsOfDatabase (
  folder: string,
  { engine, database, files }: Manifest,
  searchPath: string
): Promise<string[]> {
  const path = join(folder, database.name)
  if (engine === 'postgres') {
    // Only the file is read: no server is asked.
    const server = { url: 'postgres://localhost', searchPath }
    return await runPostgresTool(server, 'pg_restore', ['--list', '--file=/dev/null', path]).then(
      () => [],
      (error: Error) => [`${database.name}: ${error.message}`]
    )
  }
  const copy = openCopy(path)
  try {
    const { rows } = await sql<{ quick_check: string }>`pragma quick_check`.execute(copy)
    if (rows[0]?.quick_check !== 'ok') return [`${database.name} is damaged: ${rows[0]?.quick_check ?? 'no rows'}`]
    const listed = new Set(files.map(({ name }) => name))
    const findings: string[] = []
    for await (const { name, role, title, mediaId } of listBlobReferences(copy)) {
      if (!listed.has(name)) findings.push(`the ${role} of "${title}" (${mediaId}) is not in the backup`)
    }
    return findings
  } finally {
    await copy.destroy()
  }
}

async function faultOf (folder: string, entry: ManifestEntry): Promise<string | undefined> {
  if (entry.missing) return 'was missing when the backup was made'
  return await faultOfFile(join(folder, BLOBS, entry.name), entry)
}

async function faultOfFile (
  path: string,
  { sizeBytes, sha256 }: Omit<HashedFile, 'sha256'> & { sha256: string | null }
): Promise<string | undefined> {
  const stats = await stat(path).catch(() => undefined)
  if (stats === undefined) return 'is missing'
  if (stats.size !== sizeBytes) return `is damaged: it has ${stats.size} bytes, and not ${sizeBytes}`
  if (sha256 !== null && (await hashFile(path)) !== sha256) return 'is damaged: its SHA-256 is another'
  return undefined
}
