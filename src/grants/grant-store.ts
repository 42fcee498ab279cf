import type { Kysely, Selectable, Transaction } from 'kysely'
import type { UploadGrantsTable } from '../database/grant-tables.js'
import type { Database } from '../database/tables.js'
import { MAX_OFFSET, offsetOf, type PageQuery } from '../schemas/pagination.js'
import type { GrantDescription, UploadGrant } from './schema.js'

export async function insertGrant (trx: Transaction<Database>, grant: UploadGrant): Promise<void> {
  await trx
    .insertInto('upload_grants')
    .values({
      id: grant.id,
      account_id: grant.accountId,
      owner_id: grant.ownerId,
      description: JSON.stringify(grant.description),
      max_bytes: grant.maxBytes,
      origin: grant.origin,
      created_at: grant.createdAt,
      expires_at: grant.expiresAt
    })
    .execute()
}

export async function findGrant (db: Kysely<Database>, id: string): Promise<UploadGrant | undefined> {
  const row = await db.selectFrom('upload_grants').selectAll().where('id', '=', id).executeTakeFirst()
  return row && grantOf(row)
}

/** Returns a page of an account's grants, newest first, and their number, at most 10,000. */
export async function listGrants (
  db: Kysely<Database>,
  accountId: string,
  page: PageQuery
): Promise<{ items: UploadGrant[]; total: number }> {
  const own = db.selectFrom('upload_grants').where('account_id', '=', accountId)
  const rows = await own.selectAll().orderBy('id', 'desc').limit(page.size).offset(offsetOf(page)).execute()
  // No page starts after this row, so no row beyond it is counted.
  const { total } = await db
    .selectFrom(own.select('id').limit(MAX_OFFSET).as('page'))
    .select((select) => select.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow()
  return { items: rows.map(grantOf), total: Number(total) }
}

/** Returns the bytes that the open grants of an owner reserve, and the number of these grants. */
export async function findReserved (
  db: Kysely<Database>,
  ownerId: string,
  now: number
): Promise<{ bytes: number; grants: number }> {
  const row = await db
    .selectFrom('upload_grants')
    .select((select) => [select.fn.sum<number>('max_bytes').as('bytes'), select.fn.countAll<number>().as('grants')])
    .where('owner_id', '=', ownerId)
    .where('media_id', 'is', null)
    .where('revoked_at', 'is', null)
    // An upload that started before the expiry may end after it.
    .where(({ eb, or }) => or([eb('expires_at', '>', now), eb('lease_until', '>', now)]))
    .executeTakeFirstOrThrow()
  return { bytes: Number(row.bytes ?? 0), grants: Number(row.grants) }
}

/** Takes the lease of an unused grant. Returns false if another request holds it, or if the grant has ended. */
export async function claimGrant (
  db: Kysely<Database>,
  id: string,
  { holder, now, leaseUntil }: { holder: string; now: number; leaseUntil: number }
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('upload_grants')
    .set({ holder, lease_until: leaseUntil })
    .where('id', '=', id)
    .where('media_id', 'is', null)
    .where('revoked_at', 'is', null)
    .where('lease_until', '<=', now)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Renews or ends a lease, or records its media. Returns false if the grant was revoked, or the lease was lost. */
export async function updateHeldGrant (
  db: Kysely<Database>,
  id: string,
  holder: string,
  change: { leaseUntil: number } | { mediaId: string }
): Promise<boolean> {
  const set = 'mediaId' in change ? { media_id: change.mediaId, lease_until: 0 } : { lease_until: change.leaseUntil }
  const { numUpdatedRows } = await db
    .updateTable('upload_grants')
    .set(set)
    .where('id', '=', id)
    .where('holder', '=', holder)
    .where('media_id', 'is', null)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Revokes a grant. A media that it made stays. */
export async function updateRevoked (db: Kysely<Database>, id: string, now: number): Promise<void> {
  await db
    .updateTable('upload_grants')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('media_id', 'is', null)
    .where('revoked_at', 'is', null)
    .execute()
}

/** Deletes grants that expired before a time. */
export async function deleteOldGrants (db: Kysely<Database>, before: number): Promise<void> {
  await db.deleteFrom('upload_grants').where('expires_at', '<', before).execute()
}

function grantOf (row: Selectable<UploadGrantsTable>): UploadGrant {
  return {
    id: row.id,
    accountId: row.account_id,
    ownerId: row.owner_id,
    description: JSON.parse(row.description) as GrantDescription,
    maxBytes: row.max_bytes,
    origin: row.origin,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    leaseUntil: row.lease_until,
    mediaId: row.media_id
  }
}
