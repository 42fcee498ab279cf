import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressKey } from '../address-key.js'
import type { Database } from '../database/tables.js'
import { mediaNotFound } from '../errors.js'
import { pageOf, type Page, type PageQuery } from '../page.js'
import { isoDay, utcDay, type Clock } from '../time.js'
import type { AnswerCache } from './answer-cache.js'
import { findViewCounts, findViewFigures, findViewStamp, listViews, type View, type ViewCounts, type ViewFigures, type ViewOutcome } from './view-store.js'
import type { ViewWriter } from './view-writer.js'
import type { ViewerNames } from './viewer-names.js'

export type { ViewCounts }

/** Who looks: what a request says of its sender. */
export interface Onlooker { address: string, accountId: string | null, userAgent: string | undefined }

/** The figures of a media as CONTRACT §5 counts them. */
export interface Analytics { totalViews: number, uniqueViewers: number, recentViews: number, viewsPerDay: Record<string, number>, cached: boolean }

const RECENT_DAYS = 7
const MAX_USER_AGENT = 512
const MAX_COUNTED_STREAMS = 20_000
/** A stream waits for its view's commit, but not for a database that is busy with something else. */
const STREAM_WAITS_MS = 500

export type Views = ReturnType<typeof createViews>

/** Who watched what, and how often. */
export function createViews ({ db, writer, names, cache, cacheSeconds, now }: { db: Kysely<Database>, writer: ViewWriter, names: ViewerNames, cache: AnswerCache, cacheSeconds: number, now: Clock }) {
  async function compute (mediaId: string, days: number, today: number): Promise<{ answer: Analytics, figures: ViewFigures }> {
    const figures = await findViewFigures(db, mediaId, Math.min(today - days + 1, today - RECENT_DAYS + 1))
    if (figures === undefined) throw mediaNotFound()
    const sum = (count: number) => figures.days.filter(({ day }) => day > today - count && day <= today)
    const answer = {
      totalViews: figures.totalViews,
      uniqueViewers: figures.uniqueViewers,
      recentViews: sum(RECENT_DAYS).reduce((total, { views }) => total + views, 0),
      viewsPerDay: Object.fromEntries(sum(days).map(({ day, views }) => [isoDay(day), views])),
      cached: false
    }
    return { answer, figures }
  }

  /** Streams by a link that this process has seen counted: players ask for the start again and again. */
  const countedStreams = new LRUCache<string, true>({ max: MAX_COUNTED_STREAMS })

  async function count (mediaId: string, linkId: string | null, onlooker: Onlooker): Promise<{ outcome: ViewOutcome, viewedAt: number }> {
    const viewedAt = now()
    const view: View = {
      mediaId,
      linkId,
      ...names.of(onlooker.address),
      accountId: onlooker.accountId,
      userAgent: onlooker.userAgent === undefined ? null : cleanText(onlooker.userAgent),
      viewedAt
    }
    const outcome = await writer.write(view)
    if (outcome === 'gone') throw mediaNotFound()
    return { outcome, viewedAt }
  }

  return {
    /** Counts a view; durable when this resolves. With a link, one for each link and address. Throws `not_found`, `overloaded`. */
    count,

    /**
     * Counts the view of a stream from its start: as {@link count}, without asking the database again for one it has counted. Resolves when that is done, or after a
     * while; never throws: `onFailure` is told what went wrong, however late.
     */
    async countStream (mediaId: string, linkId: string | null, onlooker: Onlooker, onFailure: (error: unknown) => void): Promise<void> {
      const key = linkId === null ? undefined : `${linkId} ${addressKey(onlooker.address)}`
      if (key !== undefined && countedStreams.has(key)) return
      const counted = count(mediaId, linkId, onlooker).then(() => { if (key !== undefined) countedStreams.set(key, true) }, onFailure)
      await Promise.race([counted, sleep(STREAM_WAITS_MS, undefined, { ref: false })])
    },

    /** Totals and uniques of several media, by id. */
    counts: (mediaIds: string[]): Promise<Map<string, ViewCounts>> => findViewCounts(db, mediaIds),

    async log (mediaId: string, page: PageQuery): Promise<Page<View>> {
      const { items, total } = await listViews(db, mediaId, page)
      return pageOf(items, total, page)
    },

    /**
     * The figures of a media, days without views left out. Kept for the cache's time under a key that carries the total as it is now:
     * a view counted anywhere is in the next answer.
     */
    async analytics (mediaId: string, days: number): Promise<Analytics> {
      const today = utcDay(now())
      const key = (total: number, revision: number) => `analytics:${mediaId}:${days}:${today}:${revision}:${total}`
      const stamp = await findViewStamp(db, mediaId)
      if (stamp === undefined) throw mediaNotFound()
      const kept = cacheSeconds > 0 ? await cache.get(key(stamp.totalViews, stamp.revision)) : undefined
      if (kept !== undefined) return Object.assign(JSON.parse(kept) as Analytics, { cached: true })
      const { answer, figures } = await compute(mediaId, days, today)
      if (cacheSeconds > 0) await cache.set(key(figures.totalViews, figures.revision), JSON.stringify(answer), cacheSeconds)
      return answer
    }
  }
}

/** A user agent is whatever a client sends: cut to a sane length, without what a database refuses. */
function cleanText (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cs}]/gu, ' ').slice(0, MAX_USER_AGENT)
}
