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
  findViewTotals,
  findViewStamp,
  listViews,
  type ViewCounts,
  type ViewTotals,
  type ViewOutcome
} from './view-store.js'
import type { ViewWriter } from './view-writer.js'
import type { ViewerIds } from './viewer-ids.js'

export type { ViewCounts }

/** The sender of a request that counts as a view. */
export interface ViewSource {
  address: string
  accountId: string | null
  userAgent: string | undefined
}

/** The view counts of a media. */
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
/** A stream waits at most this long for the commit of its view, because the database may be busy. */
const STREAM_WAIT_MS = 500

/**
 * Limits the views of each address. `reserve` counts a view. It resolves with a function that takes the view back, or
 * with undefined at the limit.
 */
export interface ViewLimit {
  reserve(address: string): Promise<(() => void) | undefined>
}

interface ViewsOptions {
  db: Kysely<Database>
  writer: ViewWriter
  viewerIds: ViewerIds
  cache: AnswerCache
  cacheSeconds: number
  clock: Clock
  limit: ViewLimit
  /** Maximum time that a stream waits for the commit of its view. */
  streamWaitMs?: number | undefined
}

/** The media of a view, and its authorization: a link, the token of an account, or neither. */
type Watched = Pick<View, 'mediaId' | 'linkId' | 'byToken'>

/** Counts views, and reads the view log and the roll-ups. */
export class Views {
  readonly #options: ViewsOptions
  /** When each recent stream counted, by {@link streamKey}. Players request the start of a stream several times. */
  readonly #countedStreams = new LRUCache<string, number>({ max: MAX_COUNTED_STREAMS })
  readonly #countingStreams = new Map<string, Promise<void>>()

  constructor (options: ViewsOptions) {
    this.#options = options
  }

  /**
   * Counts a view. The view is durable when this resolves. With a link, one view counts for each link and address.
   * **Throws** `not_found`, `overloaded`.
   */
  count (mediaId: string, linkId: string | null, source: ViewSource): Promise<{ viewedAt: number }> {
    return this.#write({ mediaId, linkId }, source)
  }

  /**
   * Counts the view of a stream that was requested from its start, within the limit of its address. A stream counts
   * once for each link and address. With a token, it counts once in 30 minutes for each account and address. Resolves
   * when the view is counted, or after `streamWaitMs`. It never throws: `onFailure` receives every error, also after
   * that time.
   */
  async countStream (
    mediaId: string,
    linkId: string | null,
    source: ViewSource,
    onFailure: (error: unknown) => void
  ): Promise<void> {
    const watched = { mediaId, linkId, byToken: linkId === null && source.accountId !== null }
    const key = streamKey(mediaId, linkId, source)
    if (key !== undefined && this.#isCounted(key, watched.byToken)) return
    let counting = key === undefined ? undefined : this.#countingStreams.get(key)
    if (counting === undefined) {
      counting = this.#countOnce(watched, source, key).catch(onFailure)
      if (key !== undefined) {
        this.#countingStreams.set(key, counting)
        void counting.finally(() => this.#countingStreams.delete(key))
      }
    }
    await Promise.race([counting, sleep(this.#options.streamWaitMs ?? STREAM_WAIT_MS, undefined, { ref: false })])
  }

  /** Returns totals and unique viewers of several media, by id. */
  counts (mediaIds: string[]): Promise<Map<string, ViewCounts>> {
    return findViewCounts(this.#options.db, mediaIds)
  }

  /** Returns a page of the view log of a media. */
  async log (mediaId: string, page: PageQuery): Promise<Page<View>> {
    const { items, total } = await listViews(this.#options.db, mediaId, page)
    return pageOf(items, total, page)
  }

  /**
   * Returns the view counts of a media, without days that have no views. The cache key contains the current total, so
   * the next result includes a view that any process counted. **Throws** `not_found`.
   */
  async analytics (mediaId: string, days: number): Promise<Analytics> {
    const { db, cache, cacheSeconds, clock } = this.#options
    const today = utcDay(clock.now())
    const key = (total: number, revision: number) => `analytics:${mediaId}:${days}:${today}:${revision}:${total}`
    const stamp = await findViewStamp(db, mediaId)
    if (stamp === undefined) throw mediaNotFound()
    const cached = cacheSeconds > 0 ? await cache.get(key(stamp.totalViews, stamp.revision)) : undefined
    if (cached !== undefined) return Object.assign(JSON.parse(cached) as Analytics, { cached: true })
    const totals = await findViewTotals(db, mediaId, Math.min(today - days + 1, today - RECENT_DAYS + 1))
    if (totals === undefined) throw mediaNotFound()
    const analytics = analyticsOf(totals, days, today)
    if (cacheSeconds > 0) {
      await cache.set(key(totals.totalViews, totals.revision), JSON.stringify(analytics), cacheSeconds)
    }
    return analytics
  }

  async #write (watched: Watched, source: ViewSource): Promise<{ outcome: ViewOutcome; viewedAt: number }> {
    const { clock, viewerIds, writer } = this.#options
    const viewedAt = clock.now()
    const outcome = await writer.write({
      ...watched,
      ...viewerIds.identify(source.address),
      accountId: source.accountId,
      userAgent: source.userAgent === undefined ? null : cleanText(source.userAgent),
      viewedAt
    })
    if (outcome === 'gone') throw mediaNotFound()
    return { outcome, viewedAt }
  }

  #isCounted (key: string, byToken: boolean): boolean {
    const countedAt = this.#countedStreams.get(key)
    if (countedAt === undefined) return false
    return !byToken || Math.abs(this.#options.clock.now() - countedAt) < TOKEN_VIEW_MS
  }

  /** Counts a view within the limit of its address. A view that the database counted before does not use the limit. */
  async #countOnce (watched: Watched, source: ViewSource, key: string | undefined): Promise<void> {
    const undo = await this.#options.limit.reserve(source.address)
    if (undo === undefined) return
    let isNew = false
    try {
      const { outcome, viewedAt } = await this.#write(watched, source)
      isNew = outcome === 'counted'
      // A repeated view by a token is not stored here: its 30 minutes began at an earlier view.
      if (key !== undefined && (isNew || !watched.byToken)) this.#countedStreams.set(key, viewedAt)
    } finally {
      if (!isNew) undo()
    }
  }
}

function analyticsOf (totals: ViewTotals, days: number, today: number): Analytics {
  const last = (count: number) => totals.days.filter(({ day }) => day > today - count && day <= today)
  return {
    totalViews: totals.totalViews,
    uniqueViewers: totals.uniqueViewers,
    recentViews: last(RECENT_DAYS).reduce((total, { views }) => total + views, 0),
    viewsPerDay: Object.fromEntries(last(days).map(({ day, views }) => [isoDay(day), views])),
    cached: false
  }
}

/** Returns the key for which a stream counts once. Undefined for a stream that has neither a link nor an account. */
function streamKey (mediaId: string, linkId: string | null, { accountId, address }: ViewSource): string | undefined {
  if (linkId !== null) return `${linkId} ${addressKey(address)}`
  return accountId === null ? undefined : `${mediaId} ${accountId} ${addressKey(address)}`
}

/** Replaces characters that a database rejects by spaces, and cuts the text to {@link MAX_USER_AGENT} characters. */
function cleanText (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cs}]/gu, ' ').slice(0, MAX_USER_AGENT)
}
