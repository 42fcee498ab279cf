import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressKey } from '../http/client-address.js'
import type { Database } from '../database/tables.js'
import { mediaNotFound } from '../errors.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import { isoDay, utcDay, type Clock } from '../time.js'
import type { AnswerCache } from '../cache/shared-cache.js'
import { TOKEN_VIEW_MS } from './token-view-store.js'
import type { View } from './schema.js'
import {
  findViewCounts,
  findViewFigures,
  findViewStamp,
  listViews,
  type ViewCounts,
  type ViewFigures,
  type ViewOutcome
} from './view-store.js'
import type { ViewWriter } from './view-writer.js'
import type { ViewerNames } from './viewer-ids.js'

export type { ViewCounts }

/** Who looks: what a request says of its sender. */
export interface ViewSource {
  address: string
  accountId: string | null
  userAgent: string | undefined
}

/** The figures of a media. */
export interface Analytics {
  totalViews: number
  uniqueViewers: number
  recentViews: number
  viewsPerDay: Record<string, number>
  cached: boolean
}

const RECENT_DAYS = 7
const MAX_USER_AGENT = 512
const MAX_COUNTED_STREAMS = 20_000
/** A stream waits for its view's commit, but not for a database that is busy with something else. */
const STREAM_WAIT_MS = 500

/** The window that views of an address pass: resolves with how to give the place back, or undefined at the limit. */
export interface ViewLimit {
  reserve(address: string): Promise<(() => void) | undefined>
}

interface ViewsOptions {
  db: Kysely<Database>
  writer: ViewWriter
  names: ViewerNames
  cache: AnswerCache
  cacheSeconds: number
  clock: Clock
  limit: ViewLimit
  /** How long a stream waits for its view to be committed. */
  streamWaitMs?: number | undefined
}

export type Views = ReturnType<typeof createViews>

/** Who watched what, and how often. */
export function createViews ({
  db,
  writer,
  names,
  cache,
  cacheSeconds,
  clock,
  limit,
  streamWaitMs = STREAM_WAIT_MS
}: ViewsOptions) {
  async function compute (
    mediaId: string,
    days: number,
    today: number
  ): Promise<{ answer: Analytics; figures: ViewFigures }> {
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

  /** Moments of streams' views that are counted: players ask for the start again and again. */
  const countedStreams = new LRUCache<string, number>({ max: MAX_COUNTED_STREAMS })
  const countingStreams = new Map<string, Promise<void>>()

  type Request = Pick<View, 'mediaId' | 'linkId' | 'byToken'>

  async function write (view: Request, source: ViewSource): Promise<{ outcome: ViewOutcome; viewedAt: number }> {
    const viewedAt = clock.now()
    const outcome = await writer.write({
      ...view,
      ...names.of(source.address),
      accountId: source.accountId,
      userAgent: source.userAgent === undefined ? null : cleanText(source.userAgent),
      viewedAt
    })
    if (outcome === 'gone') throw mediaNotFound()
    return { outcome, viewedAt }
  }

  function isCounted (key: string, byToken: boolean): boolean {
    const countedAt = countedStreams.get(key)
    return countedAt !== undefined && (!byToken || Math.abs(clock.now() - countedAt) < TOKEN_VIEW_MS)
  }

  /** A view that the database has counted before takes no place in the window. */
  async function countOnce (
    mediaId: string,
    linkId: string | null,
    source: ViewSource,
    key: string | undefined
  ): Promise<void> {
    const giveBack = await limit.reserve(source.address)
    if (giveBack === undefined) return
    const byToken = linkId === null && source.accountId !== null
    let isNew = false
    try {
      const { outcome, viewedAt } = await write({ mediaId, linkId, byToken }, source)
      isNew = outcome === 'counted'
      // A repeated view by a token was counted at another moment, which only the database knows.
      if (key !== undefined && (isNew || !byToken)) countedStreams.set(key, viewedAt)
    } finally {
      if (!isNew) giveBack()
    }
  }

  return {
    /**
     * Counts a view; durable when this resolves. With a link, one for each link and address. Throws `not_found`,
     * `overloaded`.
     */
    count: (mediaId: string, linkId: string | null, source: ViewSource) => write({ mediaId, linkId }, source),

    /**
     * Counts the view of a stream from its start, within the window of its address: one for each link and address, or
     * one in 30 minutes for each account and address. Resolves when that is done, or after a while. Never throws:
     * `onFailure` receives the error, however late.
     */
    async countStream (
      mediaId: string,
      linkId: string | null,
      source: ViewSource,
      onFailure: (error: unknown) => void
    ): Promise<void> {
      const byToken = linkId === null && source.accountId !== null
      const key = streamKey(mediaId, linkId, source)
      if (key !== undefined && isCounted(key, byToken)) return
      let counting = key === undefined ? undefined : countingStreams.get(key)
      if (counting === undefined) {
        counting = countOnce(mediaId, linkId, source, key).catch(onFailure)
        if (key !== undefined) {
          countingStreams.set(key, counting)
          void counting.finally(() => countingStreams.delete(key))
        }
      }
      await Promise.race([counting, sleep(streamWaitMs, undefined, { ref: false })])
    },

    /** Totals and uniques of several media, by id. */
    counts: (mediaIds: string[]): Promise<Map<string, ViewCounts>> => findViewCounts(db, mediaIds),

    async log (mediaId: string, page: PageQuery): Promise<Page<View>> {
      const { items, total } = await listViews(db, mediaId, page)
      return pageOf(items, total, page)
    },

    /**
     * The figures of a media, days without views left out. Kept for the cache's time under a key that carries the total
     * as it is now: a view counted anywhere is in the next answer.
     */
    async analytics (mediaId: string, days: number): Promise<Analytics> {
      const today = utcDay(clock.now())
      const key = (total: number, revision: number) => `analytics:${mediaId}:${days}:${today}:${revision}:${total}`
      const stamp = await findViewStamp(db, mediaId)
      if (stamp === undefined) throw mediaNotFound()
      const kept = cacheSeconds > 0 ? await cache.get(key(stamp.totalViews, stamp.revision)) : undefined
      if (kept !== undefined) return Object.assign(JSON.parse(kept) as Analytics, { cached: true })
      const { answer, figures } = await compute(mediaId, days, today)
      if (cacheSeconds > 0) {
        await cache.set(key(figures.totalViews, figures.revision), JSON.stringify(answer), cacheSeconds)
      }
      return answer
    }
  }
}

/** What a stream's view is counted once for; undefined for one without link and account. */
function streamKey (mediaId: string, linkId: string | null, { accountId, address }: ViewSource): string | undefined {
  if (linkId !== null) return `${linkId} ${addressKey(address)}`
  return accountId === null ? undefined : `${mediaId} ${accountId} ${addressKey(address)}`
}

/** A user agent is whatever a client sends: cut to a sane length, without what a database refuses. */
function cleanText (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cs}]/gu, ' ').slice(0, MAX_USER_AGENT)
}
