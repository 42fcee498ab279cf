import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import type { Upload } from './schema.js'
import { uploadOf } from './upload-store.js'

/** The request that writes an upload, and the newest request that wants to. */
export interface HoldState {
  id: string
  holder: string | null
  wantedBy: string | null
  beat: number
}

/** Makes a request the holder of an upload without a holder. A newer request that wants the upload goes first. */
export async function takeUpload (db: Kysely<Database>, id: string, holder: string): Promise<Upload | undefined> {
  const row = await db
    .updateTable('uploads')
    .set({ holder, wanted_by: null })
    .where('id', '=', id)
    .where('holder', 'is', null)
    .where((where) => where.or([where('wanted_by', 'is', null), where('wanted_by', '=', holder)]))
    .returningAll()
    .executeTakeFirst()
  return row && uploadOf(row)
}

/** Replaces a dead holder, unless another request did, or the holder has shown that it lives. */
export async function replaceHolder (
  db: Kysely<Database>,
  { id, holder, beat }: HoldState,
  newHolder: string
): Promise<Upload | undefined> {
  const row = await db
    .updateTable('uploads')
    .set({ holder: newHolder, wanted_by: null })
    .where('id', '=', id)
    .where('holder', '=', holder)
    .where('beat', '=', beat)
    .where('wanted_by', '=', newHolder)
    .returningAll()
    .executeTakeFirst()
  return row && uploadOf(row)
}

/** Asks the holder to end, for a newer request. */
export async function wantUpload (db: Kysely<Database>, id: string, wantedBy: string): Promise<void> {
  await db.updateTable('uploads').set({ wanted_by: wantedBy }).where('id', '=', id).execute()
}

/** Withdraws {@link wantUpload}. */
export async function unwantUpload (db: Kysely<Database>, id: string, wantedBy: string): Promise<void> {
  await db
    .updateTable('uploads')
    .set({ wanted_by: null })
    .where('id', '=', id)
    .where('wanted_by', '=', wantedBy)
    .execute()
}

export async function releaseUpload (db: Kysely<Database>, id: string, holder: string): Promise<void> {
  await db.updateTable('uploads').set({ holder: null }).where('id', '=', id).where('holder', '=', holder).execute()
}

/** Shows that a holder lives. */
export async function beatUploads (db: Kysely<Database>, ids: string[], holders: string[]): Promise<void> {
  if (ids.length === 0) return
  await db
    .updateTable('uploads')
    .set((set) => ({ beat: set('beat', '+', 1) }))
    .where('id', 'in', ids)
    .where('holder', 'in', holders)
    .execute()
}

export async function listHoldStates (db: Kysely<Database>, ids: string[]): Promise<HoldState[]> {
  if (ids.length === 0) return []
  const rows = await db
    .selectFrom('uploads')
    .select(['id', 'holder', 'wanted_by', 'beat'])
    .where('id', 'in', ids)
    .execute()
  return rows.map(({ id, holder, wanted_by: wantedBy, beat }) => ({ id, holder, wantedBy, beat }))
}
