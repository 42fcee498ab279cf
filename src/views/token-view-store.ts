import { sql, type Transaction } from 'kysely'
import type { Database } from '../database/tables.js'
import { MINUTE } from '../time.js'
import type { View } from './schema.js'

/** The time after a counted view by a token until the next view of the same account, address and media counts. */
export const TOKEN_VIEW_MS = 30 * MINUTE

/**
 * Returns the views by a token that count: no view of the same account, address and media counted in the 30 minutes
 * before. All processes share the row of the last counted view. The caller must have locked the totals of the media. A
 * row at least 30 minutes in the future is ignored: it was written before the clock was set back.
 */
export async function claimTokenViews (trx: Transaction<Database>, views: View[]): Promise<Set<View>> {
  const first = new Map<string, View>()
  for (const view of views) if (!first.has(keyOf(view))) first.set(keyOf(view), view)
  if (first.size === 0) return new Set()
  const claimed = await trx
    .insertInto('token_views')
    .values(
      [...first.values()].map((view) => ({
        media_id: view.mediaId,
        account_id: view.accountId!,
        address_key: view.addressKey,
        viewed_at: view.viewedAt
      }))
    )
    .onConflict((conflict) =>
      conflict
        .columns(['media_id', 'account_id', 'address_key'])
        .doUpdateSet((set) => ({ viewed_at: set.ref('excluded.viewed_at') }))
        .where(sql<boolean>`abs(excluded.viewed_at - token_views.viewed_at) >= ${sql.lit(TOKEN_VIEW_MS)}`)
    )
    .returning(['media_id', 'account_id', 'address_key'])
    .execute()
  return new Set(
    claimed.map((row) =>
      first.get(keyOf({ mediaId: row.media_id, accountId: row.account_id, addressKey: row.address_key }))!
    )
  )
}

function keyOf (view: Pick<View, 'mediaId' | 'accountId' | 'addressKey'>): string {
  return `${view.mediaId} ${view.accountId} ${view.addressKey}`
}
