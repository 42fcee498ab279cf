import type { Redis } from 'ioredis'
import type { RedisLink } from '../redis/redis.js'
import type { Clock } from '../time.js'
import {
  BLOCK_MS,
  type LocalSlidingWindow,
  type SlidingWindow,
  type Verdict,
  type WindowRule
} from './sliding-window.js'

/**
 * Some requests, each of a window of its own or of the same, in one script: Redis runs it alone, so that the counts are
 * exact however many processes ask. The same rules as in the window of one process. Without a clock of the caller's it
 * is Redis's own, one for all processes.
 *
 * KEYS: for each request, the moments of allowed requests, oldest first; and a hash of what was refused, since when,
 * and until when the key is blocked. ARGV: now, how long a block is; for each request its limit, its window, and after
 * how many tries it is blocked. Answers for each request allowed, blocked, count, retry after, reset; times in
 * milliseconds.
 */
const HITS = `
local now, blockFor = tonumber(ARGV[1]), tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function hit(moments, state, limit, window, blockAfter)
  local function answer(allowed, blockedUntil)
    local count = redis.call('LLEN', moments)
    local oldest = tonumber(redis.call('LINDEX', moments, 0) or now - window)
    local reset = oldest + window - now
    local blocked = blockedUntil > now
    local retry = blocked and blockedUntil - now or (count < limit and 0 or reset)
    return allowed, blocked and 1 or 0, count, retry, reset
  end
  local blockedUntil = tonumber(redis.call('HGET', state, 'until') or 0)
  if blockedUntil > now and blockedUntil <= now + blockFor then return answer(0, blockedUntil) end
  while true do
    local oldest = redis.call('LINDEX', moments, 0)
    if not oldest or tonumber(oldest) > now - window then break end
    redis.call('LPOP', moments)
  end
  -- The clock of Redis was set back: what lies ahead of it counts no more.
  if tonumber(redis.call('LINDEX', moments, -1) or now) > now then redis.call('DEL', moments) end
  if redis.call('LLEN', moments) < limit then
    redis.call('RPUSH', moments, now)
    redis.call('PEXPIRE', moments, window)
    return answer(1, 0)
  end
  if blockAfter == 0 then return answer(0, 0) end
  local since = tonumber(redis.call('HGET', state, 'since') or now - window)
  if since <= now - window or since > now then redis.call('HSET', state, 'refused', 0, 'since', now) end
  local refused = redis.call('HINCRBY', state, 'refused', 1)
  blockedUntil = 0
  if limit + refused > blockAfter then
    blockedUntil = now + blockFor
    redis.call('HSET', state, 'until', blockedUntil, 'refused', 0)
  end
  redis.call('PEXPIRE', state, blockedUntil > 0 and blockFor or window)
  return answer(0, blockedUntil)
end
local answers = {}
for i = 1, #KEYS / 2 do
  local to, rule = 5 * i - 4, 3 * i
  answers[to], answers[to + 1], answers[to + 2], answers[to + 3], answers[to + 4] =
    hit(KEYS[2 * i - 1], KEYS[2 * i], tonumber(ARGV[rule]), tonumber(ARGV[rule + 1]), tonumber(ARGV[rule + 2]))
end
return answers
`
const NUMBERS_EACH = 5
/**
 * Requests that one script judges: 0.6 to 0.7 ms by Redis's own commandstats (one alone takes 0.03 to 0.04), after
 * which it serves others.
 */
const MAX_HITS = 100

type Commands = Redis & { slidingWindowHits(keyCount: number, keys: string[], rules: number[]): Promise<number[]> }

interface Waiting {
  key: string
  rule: WindowRule
  answer: (verdict: Verdict | undefined) => void
}

/** Sliding windows that all processes share. Both answer undefined when Redis does not. */
export class RedisSlidingWindow {
  readonly #redis: RedisLink
  readonly #now: Clock
  #waiting: Waiting[] = []

  constructor (redis: RedisLink, now: Clock = () => 0) {
    redis.client.defineCommand('slidingWindowHits', { lua: HITS })
    this.#redis = redis
    this.#now = now
  }

  /**
   * Requests of one turn of the event loop go to Redis together: a command for each costs Node several times as much
   * (docs/performance.md).
   */
  async hit (key: string, rule: WindowRule): Promise<Verdict | undefined> {
    return await new Promise((resolve) => {
      if (this.#waiting.push({ key, rule, answer: resolve }) === 1) setImmediate(() => this.#send())
    })
  }

  async undo (key: string): Promise<void> {
    await this.#redis.ask((client) => client.rpop(keysOf(key)[0]))
  }

  #send (): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (let start = 0; start < waiting.length; start += MAX_HITS) {
      void this.#judge(waiting.slice(start, start + MAX_HITS))
    }
  }

  async #judge (hits: Waiting[]): Promise<void> {
    const keys = hits.flatMap(({ key }) => keysOf(key))
    const rules = [
      this.#now(),
      BLOCK_MS,
      ...hits.flatMap(({ rule: { limit, windowMs, blockAfter } }) => [limit, windowMs, blockAfter])
    ]
    const answers = await this.#redis.ask((client) => (client as Commands).slidingWindowHits(keys.length, keys, rules))
    for (const [i, { answer }] of hits.entries()) answer(answers && verdictOf(answers, i * NUMBERS_EACH))
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

/** What stands in braces decides on the node of a Redis Cluster: one for all, since one script touches many. */
function keysOf (key: string): [moments: string, state: string] {
  return [`playgate:{limit}:${key}:moments`, `playgate:{limit}:${key}:state`]
}

/**
 * Windows that are shared while Redis answers, and go on per process while it does not. The counts of this process run
 * always: they know the recent past when Redis goes or comes back empty, and what they refuse is refused, since they
 * never see more than all processes do.
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
    // A refused request does not enter the window, here neither.
    if (local.allowed) await this.#local.undo(key)
    return shared
  }

  async undo (key: string): Promise<void> {
    await Promise.all([this.#local.undo(key), this.#shared.undo(key)])
  }
}
