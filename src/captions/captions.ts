import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { createHash } from 'node:crypto'
import { MiB } from '../bytes.js'
import type { Database } from '../database/tables.js'
import { ApiError, invalidField, mediaNotFound } from '../errors.js'
import { lockMedia } from '../media/media-store.js'
import type { Clock } from '../time.js'
import type { CaptionReader } from './caption-reader.js'
import {
  deleteCaptions,
  findCaptions,
  findCaptionText,
  insertCaptions,
  listCaptions,
  updateDefault
} from './caption-store.js'
import { canonicalLanguage, languageName } from './language.js'
import type { CaptionFormat, CaptionKind, CaptionTrack } from './schema.js'

/** Enough for the languages of the European Union, each with a dialect. */
const MAX_TRACKS = 50
/** Some hundred usual files. */
const MAX_CACHED_BYTES = 16 * MiB

interface Options {
  db: Kysely<Database>
  reader: CaptionReader
  clock: Clock
}

export interface NewCaptions {
  mediaId: string
  language: string
  kind: CaptionKind
  /** Undefined: the name of the language. */
  label: string | undefined
  isDefault: boolean
  format: CaptionFormat
  bytes: Uint8Array
}

/** Captions, subtitles and descriptions of media, as WebVTT. */
export class Captions {
  readonly #options: Options
  /** Texts by their SHA-256, so that a change needs no other process to forget. */
  readonly #texts = new LRUCache<string, string>({
    maxSize: MAX_CACHED_BYTES,
    sizeCalculation: (text) => Math.max(1, 2 * text.length)
  })

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Stores a file as the track of its language, and returns whether the track is new. A new default replaces the
   * earlier default. **Throws** `validation_failed`, `too_many_captions`, `not_found`, `overloaded`.
   */
  async put (captions: NewCaptions): Promise<{ track: CaptionTrack; isNew: boolean }> {
    const { db, reader, clock } = this.#options
    const { mediaId, kind, isDefault, bytes, format } = captions
    const language = canonicalLanguage(captions.language)
    if (language === undefined) {
      throw invalidField('lang', 'must be a language tag of BCP 47, such as en or pt-BR')
    }
    const { text, cues } = await reader.read({ bytes, format })
    const sha256 = createHash('sha256').update(text).digest('hex')
    const now = clock.now()
    const label = captions.label ?? languageName(language)
    const wanted = { mediaId, language, kind, label, isDefault, cues, sha256, createdAt: now, updatedAt: now }
    return await db.transaction().execute(async (trx) => {
      if ((await lockMedia(trx, mediaId)) === undefined) throw mediaNotFound()
      const known = await listCaptions(trx, mediaId)
      const isNew = !known.some((track) => track.language === language)
      if (isNew && known.length >= MAX_TRACKS) throw new ApiError('too_many_captions')
      if (isDefault) await updateDefault(trx, mediaId, language)
      return { track: await insertCaptions(trx, wanted, text), isNew }
    })
  }

  /** Lists the tracks of a media, by language. */
  list (mediaId: string): Promise<CaptionTrack[]> {
    return listCaptions(this.#options.db, mediaId)
  }

  /** Returns the description of a track. **Throws** `not_found`. */
  async find (mediaId: string, tag: string): Promise<CaptionTrack> {
    const language = canonicalLanguage(tag)
    const track = language === undefined ? undefined : await findCaptions(this.#options.db, mediaId, language)
    if (track === undefined) throw new ApiError('not_found')
    return track
  }

  /** Returns a track with its text. **Throws** `not_found`. */
  async read (mediaId: string, tag: string): Promise<{ text: string; track: CaptionTrack }> {
    const track = await this.find(mediaId, tag)
    const known = this.#texts.get(track.sha256)
    if (known !== undefined) return { text: known, track }
    const stored = await findCaptionText(this.#options.db, mediaId, track.language)
    if (stored === undefined) throw new ApiError('not_found')
    this.#texts.set(stored.sha256, stored.text)
    return { text: stored.text, track: { ...track, sha256: stored.sha256 } }
  }

  /** Deletes a track. **Throws** `not_found`. */
  async remove (mediaId: string, tag: string): Promise<void> {
    const language = canonicalLanguage(tag)
    const isDeleted = language !== undefined && (await deleteCaptions(this.#options.db, mediaId, language))
    if (!isDeleted) throw new ApiError('not_found')
  }
}
