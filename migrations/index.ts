import type { Migration } from 'kysely'
import * as accountsMediaViews from './001-accounts-media-views.js'

/** All migrations by name, in order. A released one is never edited. */
export const migrations: Record<string, Migration> = {
  '001-accounts-media-views': accountsMediaViews
}
