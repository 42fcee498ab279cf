import { type Kysely, type Selectable, type Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import type { UploadsTable } from '../database/upload-tables.js'
import type { ProblemCode } from '../schemas/problem-codes.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import type { Upload, UploadDescription } from './schema.js'

export type NewUpload = Pick<
  Upload,
  'id' | 'ownerId' | 'uploaderId' | 'draftName' | 'description' | 'metadata' | 'sizeBytes' | 'createdAt' | 'expiresAt'
>

export async function insertUpload (trx: Transaction<Database>, upload: NewUpload): Promise<Upload> {
  const row = await trx
    .insertInto('uploads')
    .values({
      id: upload.id,
      owner_id: upload.ownerId,
      uploader_id: upload.uploaderId,
      draft_name: upload.draftName,
      description: JSON.stringify(upload.description),
      metadata: upload.metadata,
      size_bytes: upload.sizeBytes,
      created_at: upload.createdAt,
      updated_at: upload.createdAt,
      expires_at: upload.expiresAt
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  return uploadOf(row)
}

export async function findUpload (db: Kysely<Database>, id: string): Promise<Upload | undefined> {
  const row = await db.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst()
  return row && uploadOf(row)
}

/** Returns a page of an account's open uploads, newest first, and their total. */
export async function listOpenUploads (
  db: Kysely<Database>,
  uploaderId: string,
  page: PageQuery
): Promise<{ items: Upload[]; total: number }> {
  const rows = await db
    .selectFrom('uploads')
    .selectAll()
    .where('uploader_id', '=', uploaderId)
    .where('is_open', '=', 1)
    .orderBy('id', 'desc')
    .limit(page.size)
    .offset(offsetOf(page))
    .execute()
  return { items: rows.map(uploadOf), total: await countOpenUploads(db, uploaderId) }
}

/** Counts the open uploads of an account. Their number is limited, so the count reads few entries of an index. */
export async function countOpenUploads (db: Kysely<Database>, uploaderId: string): Promise<number> {
  const { count } = await db
    .selectFrom('uploads')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('uploader_id', '=', uploaderId)
    .where('is_open', '=', 1)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Returns the bytes that the open uploads of an owner reserve. */
export async function findReservedBytes (db: Kysely<Database>, ownerId: string): Promise<number> {
  const row = await db
    .selectFrom('uploads')
    .select((select) => select.fn.sum<number | null>('size_bytes').as('bytes'))
    .where('owner_id', '=', ownerId)
    .where('is_open', '=', 1)
    .executeTakeFirstOrThrow()
  return row.bytes ?? 0
}

/** Lists complete uploads without a result and without a change since `before`. */
export async function listUnfinishedUploads (db: Kysely<Database>, before: number, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('uploads')
    .select('id')
    .where('is_open', '=', 1)
    .where('updated_at', '<', before)
    .whereRef('offset_bytes', '=', 'size_bytes')
    .orderBy('updated_at')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}

/** Stores the number of bytes that are on disk, and counts the part. Returns false if `holder` may no longer write. */
export async function updateOffset (
  db: Kysely<Database>,
  { id, holder }: { id: string; holder: string },
  change: { offsetBytes: number; updatedAt: number; expiresAt: number }
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('uploads')
    .set((set) => ({
      offset_bytes: change.offsetBytes,
      parts: set('parts', '+', 1),
      updated_at: change.updatedAt,
      expires_at: change.expiresAt
    }))
    .where('id', '=', id)
    .where('holder', '=', holder)
    .where('is_open', '=', 1)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Closes an upload with its media or its error. Returns false if `holder` may no longer write. */
export async function closeUpload (
  db: Kysely<Database>,
  { id, holder }: { id: string; holder: string },
  result: { mediaId?: string; error?: { code: ProblemCode; detail: string }; updatedAt: number; expiresAt: number }
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('uploads')
    .set({
      is_open: 0,
      holder: null,
      media_id: result.mediaId ?? null,
      error_code: result.error?.code ?? null,
      error_detail: result.error?.detail ?? null,
      updated_at: result.updatedAt,
      expires_at: result.expiresAt
    })
    .where('id', '=', id)
    .where('holder', '=', holder)
    .where('is_open', '=', 1)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Deletes an upload. Returns false if `holder` may no longer write. */
export async function deleteUpload (
  db: Kysely<Database>,
  { id, holder }: { id: string; holder: string }
): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('uploads')
    .where('id', '=', id)
    .where('holder', '=', holder)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Deletes at most `limit` expired uploads. Returns the names of their drafts. */
export async function deleteExpiredUploads (db: Kysely<Database>, now: number, limit: number): Promise<string[]> {
  const expired = db.selectFrom('uploads').select('id').where('expires_at', '<=', now).limit(limit)
  const rows = await db.deleteFrom('uploads').where('id', 'in', expired).returning('draft_name').execute()
  return rows.map((row) => row.draft_name)
}

export function uploadOf (row: Selectable<UploadsTable>): Upload {
  return {
    id: row.id,
    ownerId: row.owner_id,
    uploaderId: row.uploader_id,
    draftName: row.draft_name,
    description: JSON.parse(row.description) as UploadDescription,
    metadata: row.metadata,
    sizeBytes: row.size_bytes,
    offsetBytes: row.offset_bytes,
    parts: row.parts,
    holder: row.holder,
    isOpen: row.is_open === 1,
    mediaId: row.media_id,
    error: row.error_code === null ? null : { code: row.error_code as ProblemCode, detail: row.error_detail ?? '' },
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    expiresAt: row.expires_at
  }
}
