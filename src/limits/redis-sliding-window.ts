import type { Redis } from 'ioredis'
import type { RedisLink } from '../redis-link.js'
import type { Clock } from '../time.js'
import { BLOCK_MS, type SlidingWindow, type Verdict, type WindowRule } from './sliding-window.js'

/**
 * One request of a window, in one script: Redis runs it alone, so that the count is exact however many processes ask. The
 * same rules as in the window of one process. Without a clock of the caller's it is Redis's own, one for all processes.
 *
 * KEYS: the moments of allowed requests, oldest first; a hash of what was refused, since when, and until when the key is blocked.
 * Answers {allowed, blocked, count, retry after, reset}, times in milliseconds.
 */
const HIT = `
local moments, state = KEYS[1], KEYS[2]
local limit, window, blockAfter, blockFor, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function answer(allowed, blockedUntil)
  local count = redis.call('LLEN', moments)
  local oldest = tonumber(redis.call('LINDEX', moments, 0) or now - window)
  local reset = oldest + window - now
  local blocked = blockedUntil > now
  local retry = blocked and blockedUntil - now or (count < limit and 0 or reset)
  return {allowed, blocked and 1 or 0, count, retry, reset}
end
local blockedUntil = tonumber(redis.call('HGET', state, 'until') or 0)
if blockedUntil > now then return answer(0, blockedUntil) end
while true do
  local oldest = redis.call('LINDEX', moments, 0)
  if not oldest or tonumber(oldest) > now - window then break end
  redis.call('LPOP', moments)
end
if redis.call('LLEN', moments) < limit then
  redis.call('RPUSH', moments, now)
  redis.call('PEXPIRE', moments, window)
  return answer(1, 0)
end
local since = tonumber(redis.call('HGET', state, 'since') or now - window)
if since <= now - window then redis.call('HSET', state, 'refused', 0, 'since', now) end
local refused = redis.call('HINCRBY', state, 'refused', 1)
blockedUntil = 0
if blockAfter > 0 and limit + refused > blockAfter then
  blockedUntil = now + blockFor
  redis.call('HSET', state, 'until', blockedUntil, 'refused', 0)
end
redis.call('PEXPIRE', state, blockedUntil > 0 and blockFor or window)
return answer(0, blockedUntil)
`

type Commands = Redis & {
  slidingWindowHit (moments: string, state: string, limit: number, window: number, blockAfter: number, blockFor: number, now: number): Promise<[number, number, number, number, number]>
}

/** Sliding windows that all processes share. Both answer undefined when Redis does not. */
export class RedisSlidingWindow {
  readonly #redis: RedisLink
  readonly #now: Clock

  constructor (redis: RedisLink, now: Clock = () => 0) {
    redis.client.defineCommand('slidingWindowHit', { numberOfKeys: 2, lua: HIT })
    this.#redis = redis
    this.#now = now
  }

  async hit (key: string, { limit, windowMs, blockAfter }: WindowRule): Promise<Verdict | undefined> {
    const [moments, state] = keysOf(key)
    const answer = await this.#redis.ask((client) => (client as Commands).slidingWindowHit(moments, state, limit, windowMs, blockAfter, BLOCK_MS, this.#now()))
    if (answer === undefined) return undefined
    const [allowed, blocked, count, retryAfterMs, resetMs] = answer
    return { allowed: allowed === 1, blocked: blocked === 1, count, retryAfterMs, resetMs }
  }

  async undo (key: string): Promise<void> {
    await this.#redis.ask((client) => client.rpop(keysOf(key)[0]))
  }
}

/** Braces keep both on one node of a Redis Cluster. */
function keysOf (key: string): [moments: string, state: string] {
  return [`playgate:limit:{${key}}:moments`, `playgate:limit:{${key}}:state`]
}

/**
 * Windows that are shared while Redis answers, and go on per process while it does not. The counts of this process run always: they know the
 * recent past when Redis goes or comes back empty, and what they refuse is refused, since they never see more than all processes do.
 */
export class FailoverSlidingWindow implements SlidingWindow {
  readonly #local: SlidingWindow
  readonly #shared: RedisSlidingWindow

  constructor (local: SlidingWindow, shared: RedisSlidingWindow) {
    this.#local = local
    this.#shared = shared
  }

  async hit (key: string, rule: WindowRule): Promise<Verdict> {
    const [local, shared] = await Promise.all([this.#local.hit(key, rule), this.#shared.hit(key, rule)])
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
