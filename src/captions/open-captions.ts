import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import type { Clock } from '../time.js'
import { CaptionReader } from './caption-reader.js'
import { Captions } from './captions.js'
import { Chapters } from './chapters.js'

/** Opens captions and chapters. Whoever calls this function closes `captionReader`. */
export function openCaptions ({ db, clock }: { db: Kysely<Database>; clock: Clock }) {
  const captionReader = new CaptionReader()
  return { captionReader, captions: new Captions({ db, clock, reader: captionReader }), chapters: new Chapters({ db }) }
}
