import type { Kysely } from 'kysely'

const BATCH = 1000

interface Searched {
  accounts: {
    id: string
    email: string
    first_name: string | null
    last_name: string | null
    search_text: string | null
  }
  media: { id: string; title: string; title_search: string | null }
}

/**
 * Adds folded texts, so that searches ignore case and Unicode normal form on both engines. A process of an older
 * version inserts rows with null.
 */
export async function up (db: Kysely<Searched>): Promise<void> {
  await db.schema.alterTable('accounts').addColumn('search_text', 'text').execute()
  await db.schema.alterTable('media').addColumn('title_search', 'text').execute()
  await fillMedia(db)
  await fillAccounts(db)
}

async function fillMedia (db: Kysely<Searched>): Promise<void> {
  for (let last: string | undefined; ;) {
    const rows = await db
      .selectFrom('media')
      .select(['id', 'title'])
      .orderBy('id')
      .limit(BATCH)
      .$if(last !== undefined, (query) => query.where('id', '>', last!))
      .execute()
    for (const { id, title } of rows) {
      await db
        .updateTable('media')
        .set({ title_search: fold(title) })
        .where('id', '=', id)
        .execute()
    }
    if (rows.length < BATCH) return
    last = rows.at(-1)!.id
  }
}

async function fillAccounts (db: Kysely<Searched>): Promise<void> {
  for (let last: string | undefined; ;) {
    const rows = await db
      .selectFrom('accounts')
      .select(['id', 'email', 'first_name', 'last_name'])
      .orderBy('id')
      .limit(BATCH)
      .$if(last !== undefined, (query) => query.where('id', '>', last!))
      .execute()
    for (const { id, email, first_name: first, last_name: name } of rows) {
      const text = fold(`${email} ${first ?? ''} ${name ?? ''}`)
      await db.updateTable('accounts').set({ search_text: text }).where('id', '=', id).execute()
    }
    if (rows.length < BATCH) return
    last = rows.at(-1)!.id
  }
}

/** A copy of `fold` in src/database/fold.ts at the time of this migration. */
function fold (text: string): string {
  const folded = Array.from(text.normalize('NFKC'), (letter) => letter.toUpperCase().toLowerCase()).join('')
  return folded.normalize('NFKC')
}
