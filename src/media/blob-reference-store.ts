import type { Kysely } from 'kysely'
import { NIL } from 'uuid'
import type { Database } from '../database/tables.js'

/** A file that a media needs. `sizeBytes` and `sha256` (hex) are null where no row has them. */
export interface BlobReference {
  name: string
  role: 'file' | 'package' | 'poster' | 'rendition'
  mediaId: string
  title: string
  sizeBytes: number | null
  sha256: string | null
}

const PAGE = 1000

/**
 * Lists the files of all media that are not deleted, in pages, so that the event loop is free between them. A file that
 * several media share is listed once.
 */
export async function * listBlobReferences (db: Kysely<Database>): AsyncGenerator<BlobReference> {
  const orphans = new Set<string>()
  for (let after: string = NIL; ;) {
    const rows = await db
      .selectFrom('media')
      .leftJoin('media as owner', (join) =>
        join.onRef('owner.blob_name', '=', 'media.shared_blob').on('owner.deleted_at', 'is', null)
      )
      .select(['media.id', 'media.title', 'media.blob_name', 'media.size_bytes', 'media.sha256'])
      .select(['media.package_blob', 'media.poster_blob', 'media.rendition_blob'])
      .select(['media.shared_blob', 'owner.id as sharing_id'])
      .where('media.id', '>', after)
      .where('media.deleted_at', 'is', null)
      .orderBy('media.id')
      .limit(PAGE)
      .execute()
    for (const { id, title, ...row } of rows) {
      const media = { mediaId: id, title }
      const [sizeBytes, sha256] = [row.size_bytes, row.sha256]
      const name = row.shared_blob ?? row.blob_name
      // The media for which a shared file was uploaded lists it, or else the first media that shares it.
      const isListed = row.sharing_id !== null || (row.shared_blob !== null && orphans.has(row.shared_blob))
      if (row.shared_blob !== null) orphans.add(row.shared_blob)
      if (name !== null && !isListed) yield { ...media, role: 'file', name, sizeBytes, sha256 }
      const made = [
        ['package', row.package_blob],
        ['poster', row.poster_blob],
        ['rendition', row.rendition_blob]
      ] as const
      for (const [role, name] of made) {
        if (name !== null) yield { ...media, role, name, sizeBytes: null, sha256: null }
      }
    }
    if (rows.length < PAGE) return
    after = rows.at(-1)!.id
  }
}
