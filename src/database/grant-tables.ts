import type { Generated } from 'kysely'

// Times are epoch milliseconds, as tables.ts says.

/** A grant to upload one file without an account. */
export interface UploadGrantsTable {
  id: string
  /** The account that made the grant. */
  account_id: string
  /** The account that will own the media: the maker, or the owner of the course. Its quota is reserved. */
  owner_id: string
  /** JSON: a {@link GrantDescription} (src/grants/schema.ts). */
  description: string
  max_bytes: number
  /** The only origin of pages that may upload; null for the origins of the API. */
  origin: string | null
  created_at: number
  expires_at: number
  revoked_at: Generated<number | null>
  /** The request that uploads now, and the end of its lease. */
  holder: Generated<string | null>
  lease_until: Generated<number>
  media_id: Generated<string | null>
}
