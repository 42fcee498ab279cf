import type { RedisLink } from '../redis/redis.js'
import type { Clock } from '../time.js'
import { FailoverSlidingWindow, RedisSlidingWindow } from './redis-sliding-window.js'
import { LocalSlidingWindow, type SlidingWindow } from './sliding-window.js'

export interface Windows {
  /** Requests of clients and of the networks around them. */
  clients: SlidingWindow
  /** Failed logins of accounts, in memory of their own: no number of clients can push them out. */
  failedLogins: SlidingWindow
  /** Keys held by this process. */
  size(): number
}

/** Opens the windows of this process, shared with the others where there is a Redis. */
export function openWindows (clock: Clock, redis?: RedisLink, redisNow?: () => number): Windows {
  const [clients, failedLogins] = [new LocalSlidingWindow(clock), new LocalSlidingWindow(clock)]
  const size = () => clients.size + failedLogins.size
  if (redis === undefined) return { clients, failedLogins, size }
  const shared = new RedisSlidingWindow(redis, redisNow)
  return {
    clients: new FailoverSlidingWindow(clients, shared),
    failedLogins: new FailoverSlidingWindow(failedLogins, shared),
    size
  }
}
