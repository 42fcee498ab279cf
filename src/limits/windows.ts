import type { RedisLink } from '../redis/redis.js'
import type { Clock } from '../time.js'
import { FailoverSlidingWindow, RedisSlidingWindow } from './redis-sliding-window.js'
import { LocalSlidingWindow, type SlidingWindow } from './sliding-window.js'

export interface Windows {
  /** Requests of clients and of the networks around them. */
  clients: SlidingWindow
  /** Failed logins of accounts. They have a separate memory, so that no number of clients can evict them. */
  failedLogins: SlidingWindow
  /** Number of keys that this process stores. */
  size(): number
}

/** Opens the windows of this process. With Redis, the windows are shared with the other processes. */
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
