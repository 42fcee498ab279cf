import type { Transaction } from 'kysely'
import type { Database } from '../database/tables.js'

/**
 * Locks the sums that include the duration of a media, until the transaction ends. Returns a function that adds to
 * them.
 */
export type LockSums = (trx: Transaction<Database>, mediaId: string) => Promise<(deltaMs: number) => Promise<void>>
