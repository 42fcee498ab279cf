import type { Generated } from 'kysely'

// Times, durations, days and flags are integers, as tables.ts says.

export interface ViewsTable {
  id: Generated<number>
  media_id: string
  /** The link of a stream view: one view counts for each link and address. Null without a link. */
  link_id: string | null
  address: string
  /** The key that identifies a viewer: the IPv4 address, the /64 of an IPv6 address, or an HMAC of it. */
  address_key: string
  account_id: string | null
  user_agent: string | null
  viewed_at: number
}

/** The last counted view of each account, address and media by a token. */
export interface TokenViewsTable {
  media_id: string
  account_id: string
  address_key: string
  viewed_at: number
}

/** Inserted with its media, so that a lock on the row proves that the media exists. */
export interface ViewTotalsTable {
  media_id: string
  total_views: number
  unique_viewers: number
  /** Increased when counts change without a view (a recount), so that cached responses become invalid. */
  revision: number
}

export interface ViewDaysTable {
  media_id: string
  day: number
  views: number
}

export interface ViewViewersTable {
  media_id: string
  address_key: string
}
