import type { Transaction } from 'kysely'
import type { Database } from './tables.js'

/** Adds rows about a new resource, in the transaction that creates the resource. */
export type Attach<T> = (trx: Transaction<Database>, created: T) => Promise<void>
