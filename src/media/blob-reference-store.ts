import type { Kysely } from 'kysely'
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
/** Less than the id of every media. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/** Lists the files of all media that are not deleted, in pages, so that the event loop is free between them. */
export async function * listBlobReferences (db: Kysely<Database>): AsyncGenerator<BlobReference> {
  for (let after = FIRST_ID; ;) {
    const rows = await db
      .selectFrom('media')
      .select(['id', 'title', 'blob_name', 'size_bytes', 'sha256', 'package_blob', 'poster_blob', 'rendition_blob'])
      .where('id', '>', after)
      .where('deleted_at', 'is', null)
      .orderBy('id')
      .limit(PAGE)
      .execute()
    for (const { id, title, ...row } of rows) {
      const media = { mediaId: id, title }
      const [sizeBytes, sha256] = [row.size_bytes, row.sha256]
      if (row.blob_name !== null) yield { ...media, role: 'file', name: row.blob_name, sizeBytes, sha256 }
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
