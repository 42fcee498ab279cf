import type { Static } from '@sinclair/typebox'
import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { ApiError, mediaNotFound, type FieldError } from '../errors.js'
import { lockMedia } from '../media/media-store.js'
import type { Media } from '../media/schema.js'
import { deleteChapters, findChapters, insertChapters } from './chapter-store.js'
import type { Chapter, ChapterList } from './schema.js'
import { vttTime } from './vtt-time.js'

interface Options {
  db: Kysely<Database>
}

/** Chapters of media. */
export class Chapters {
  readonly #db: Kysely<Database>

  constructor ({ db }: Options) {
    this.#db = db
  }

  /**
   * Stores chapters in place of the earlier ones. **Throws** `validation_failed` unless each chapter starts after the
   * one before, and before the end of the media; `not_found`.
   */
  async put (media: Media, list: Static<typeof ChapterList>): Promise<Chapter[]> {
    const chapters = list.map(({ start_seconds: seconds, title }) => ({
      startMs: Math.round(seconds * 1000),
      title: title.normalize('NFC').trim()
    }))
    const errors = faultsOf(chapters, media.durationMs)
    if (errors.length > 0) throw new ApiError('validation_failed', { errors })
    await this.#db.transaction().execute(async (trx) => {
      if ((await lockMedia(trx, media.id)) === undefined) throw mediaNotFound()
      await insertChapters(trx, media.id, chapters)
    })
    return chapters
  }

  /** Returns the chapters of a media in order. The list is empty if it has none. */
  list (mediaId: string): Promise<Chapter[]> {
    return findChapters(this.#db, mediaId)
  }

  /** Returns the chapters of a media as WebVTT. **Throws** `not_found` if it has none. */
  async vtt ({ id, durationMs }: Media): Promise<string> {
    const chapters = await this.list(id)
    if (chapters.length === 0) throw new ApiError('not_found')
    return chaptersVtt(chapters, durationMs)
  }

  /** Deletes the chapters of a media. **Throws** `not_found` if it has none. */
  async remove (mediaId: string): Promise<void> {
    if (!(await deleteChapters(this.#db, mediaId))) throw new ApiError('not_found')
  }
}

function faultsOf (chapters: Chapter[], durationMs: number | null): FieldError[] {
  return chapters.flatMap(({ startMs }, index): FieldError[] => {
    const path = `${index}.start_seconds`
    const previous = chapters[index - 1]
    if (previous !== undefined && startMs <= previous.startMs) {
      return [{ path, message: 'must be after the start of the chapter before' }]
    }
    if (durationMs !== null && startMs >= durationMs) {
      return [{ path, message: `must be before the end of the media, at ${durationMs / 1000} s` }]
    }
    return []
  })
}

/** The last chapter of a media of unknown duration ends after a day. */
const UNKNOWN_END_MS = 24 * 3_600_000

/** Returns chapters as WebVTT. A chapter ends where the next one starts. */
export function chaptersVtt (chapters: Chapter[], durationMs: number | null): string {
  const cues = chapters.map(({ startMs, title }, index) => {
    const endMs = chapters[index + 1]?.startMs ?? Math.max(durationMs ?? startMs + UNKNOWN_END_MS, startMs + 1)
    return `${vttTime(startMs)} --> ${vttTime(endMs)}\n${escaped(title)}\n`
  })
  return ['WEBVTT\n', ...cues].join('\n')
}

function escaped (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
