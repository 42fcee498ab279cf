import type { Redis } from 'ioredis'
import type { RedisLink } from '../redis/redis.js'
import { HITS, HIT_WITHIN } from './redis-window-scripts.js'
import {
  BLOCK_MS,
  type LocalSlidingWindow,
  type SlidingWindow,
  type Verdict,
  type WindowCheck,
  type WindowRule
} from './sliding-window.js'

const NUMBERS_EACH = 5
/**
 * Maximum requests in one script, because Redis serves no other command meanwhile. By Redis's commandstats, 100
 * requests take 0.6 to 0.7 ms, and one takes 0.03 to 0.04 ms.
 */
const MAX_HITS = 100

type Script = (keyCount: number, keys: string[], rules: number[]) => Promise<number[]>
type Commands = Redis & { slidingWindowHits: Script; slidingWindowHitWithin: Script }

interface Waiting extends WindowCheck {
  answer: (verdict: Verdict | undefined) => void
}

/** Sliding windows that all processes share. Both methods resolve with undefined if Redis is unavailable. */
export class RedisSlidingWindow {
  readonly #redis: RedisLink
  readonly #now: () => number
  #waiting: Waiting[] = []

  constructor (redis: RedisLink, now: () => number = () => 0) {
    redis.client.defineCommand('slidingWindowHits', { lua: HITS })
    redis.client.defineCommand('slidingWindowHitWithin', { lua: HIT_WITHIN })
    this.#redis = redis
    this.#now = now
  }

  /**
   * Sends the requests of one turn of the event loop in one command. One command for each request would cost Node
   * several times as much CPU (docs/performance.md).
   */
  async hit (key: string, rule: WindowRule): Promise<Verdict | undefined> {
    return await new Promise((resolve) => {
      if (this.#waiting.push({ key, rule, answer: resolve }) === 1) setImmediate(() => this.#send())
    })
  }

  /** Sends one command for each request. Such requests are rare, because each of them costs a password hash. */
  async hitWithin (wider: WindowCheck[], own: WindowCheck): Promise<Verdict | undefined> {
    const { keys, rules } = this.#argumentsFor([...wider, own])
    const ask = (client: Redis) => (client as Commands).slidingWindowHitWithin(keys.length, keys, rules)
    const numbers = await this.#redis.ask(ask)
    return numbers && verdictOf(numbers, 0)
  }

  async undo (...keys: string[]): Promise<void> {
    await Promise.all(keys.map((key) => this.#redis.ask((client) => client.rpop(keysOf(key)[0]))))
  }

  #send (): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (let start = 0; start < waiting.length; start += MAX_HITS) {
      void this.#decide(waiting.slice(start, start + MAX_HITS))
    }
  }

  async #decide (hits: Waiting[]): Promise<void> {
    const { keys, rules } = this.#argumentsFor(hits)
    const answers = await this.#redis.ask((client) => (client as Commands).slidingWindowHits(keys.length, keys, rules))
    for (const [i, { answer }] of hits.entries()) answer(answers && verdictOf(answers, i * NUMBERS_EACH))
  }

  /** Returns KEYS and ARGV for both scripts. */
  #argumentsFor (checks: WindowCheck[]): { keys: string[]; rules: number[] } {
    const keys = checks.flatMap(({ key }) => keysOf(key))
    const rules = checks.flatMap(({ rule: { limit, windowMs, blockAfter } }) => [limit, windowMs, blockAfter])
    return { keys, rules: [this.#now(), BLOCK_MS, ...rules] }
  }
}

function verdictOf (answers: number[], start: number): Verdict {
  return {
    allowed: answers[start] === 1,
    blocked: answers[start + 1] === 1,
    count: answers[start + 2]!,
    retryAfterMs: answers[start + 3]!,
    resetMs: answers[start + 4]!
  }
}

/**
 * The text in braces decides the node of a key in a Redis Cluster. This text is the same for all keys, because one
 * script uses many keys.
 */
function keysOf (key: string): [moments: string, state: string] {
  return [`playgate:{limit}:${key}:moments`, `playgate:{limit}:${key}:state`]
}

/**
 * These windows are shared while Redis is available, and local to the process otherwise. The local windows always
 * count, so they know the recent past when Redis fails or comes back empty. A local refusal is final, because one
 * process never counts more requests than all processes.
 */
export class FailoverSlidingWindow implements SlidingWindow {
  readonly #local: LocalSlidingWindow
  readonly #shared: RedisSlidingWindow

  constructor (local: LocalSlidingWindow, shared: RedisSlidingWindow) {
    this.#local = local
    this.#shared = shared
  }

  async hit (key: string, rule: WindowRule): Promise<Verdict> {
    const local = this.#local.hitNow(key, rule)
    const shared = await this.#shared.hit(key, rule)
    if (shared === undefined) return local
    if (shared.allowed) return local.allowed ? shared : local
    // A refused request must not stay in the local window either.
    if (local.allowed) await this.#local.undo(key)
    return shared
  }

  async hitWithin (wider: WindowCheck[], own: WindowCheck): Promise<Verdict> {
    const local = this.#local.hitWithinNow(wider, own)
    const shared = await this.#shared.hitWithin(wider, own)
    if (shared === undefined || local.allowed === shared.allowed) return shared ?? local
    // One side refused the request, so the request leaves the windows of the other side.
    const keys = [...wider, own].map(({ key }) => key)
    if (shared.allowed) {
      await this.#shared.undo(...keys)
      return local
    }
    for (const key of keys) this.#local.undoNow(key)
    return shared
  }

  async undo (key: string): Promise<void> {
    await Promise.all([this.#local.undo(key), this.#shared.undo(key)])
  }
}
