import type { Kysely, Selectable, Transaction } from 'kysely'
import type { CaptionsTable } from '../database/caption-tables.js'
import type { Database } from '../database/tables.js'
import type { CaptionTrack } from './schema.js'

const DESCRIPTION = [
  'media_id',
  'language',
  'kind',
  'label',
  'is_default',
  'cues',
  'sha256',
  'created_at',
  'updated_at'
] as const

/** Inserts a track, or replaces the track of the same language. A replaced track keeps its time of creation. */
export async function insertCaptions (
  trx: Transaction<Database>,
  track: CaptionTrack,
  text: string
): Promise<CaptionTrack> {
  const change = {
    kind: track.kind,
    label: track.label,
    is_default: track.isDefault ? 1 : 0,
    cues: track.cues,
    sha256: track.sha256,
    updated_at: track.updatedAt,
    text
  }
  const row = await trx
    .insertInto('captions')
    .values({ media_id: track.mediaId, language: track.language, created_at: track.createdAt, ...change })
    .onConflict((conflict) => conflict.columns(['media_id', 'language']).doUpdateSet(change))
    .returning(DESCRIPTION)
    .executeTakeFirstOrThrow()
  return trackOf(row)
}

/** Makes the other tracks of a media no default. */
export async function updateDefault (trx: Transaction<Database>, mediaId: string, language: string): Promise<void> {
  await trx
    .updateTable('captions')
    .set({ is_default: 0 })
    .where('media_id', '=', mediaId)
    .where('language', '<>', language)
    .where('is_default', '=', 1)
    .execute()
}

/** Lists the tracks of a media without their texts, by language. */
export async function listCaptions (db: Kysely<Database>, mediaId: string): Promise<CaptionTrack[]> {
  const rows = await db
    .selectFrom('captions')
    .select(DESCRIPTION)
    .where('media_id', '=', mediaId)
    .orderBy('language')
    .execute()
  return rows.map(trackOf)
}

export async function findCaptions (
  db: Kysely<Database>,
  mediaId: string,
  language: string
): Promise<CaptionTrack | undefined> {
  const row = await db
    .selectFrom('captions')
    .select(DESCRIPTION)
    .where('media_id', '=', mediaId)
    .where('language', '=', language)
    .executeTakeFirst()
  return row && trackOf(row)
}

/** Returns the text of a track. Undefined if the track was deleted. */
export async function findCaptionText (
  db: Kysely<Database>,
  mediaId: string,
  language: string
): Promise<{ text: string; sha256: string } | undefined> {
  return await db
    .selectFrom('captions')
    .select(['text', 'sha256'])
    .where('media_id', '=', mediaId)
    .where('language', '=', language)
    .executeTakeFirst()
}

/** Deletes a track. Returns false if the media has no such track. */
export async function deleteCaptions (db: Kysely<Database>, mediaId: string, language: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('captions')
    .where('media_id', '=', mediaId)
    .where('language', '=', language)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

function trackOf (row: Pick<Selectable<CaptionsTable>, (typeof DESCRIPTION)[number]>): CaptionTrack {
  return {
    mediaId: row.media_id,
    language: row.language,
    kind: row.kind,
    label: row.label,
    isDefault: row.is_default === 1,
    cues: row.cues,
    sha256: row.sha256,
    createdAt: row.created_at,
    updatedAt: row.updated_at
  }
}
