import type { Redis } from 'ioredis'

/** A slower command counts as failed. Limits and cache then use the memory of this process. */
const COMMAND_LIMIT_MS = 200
/** The interval of probes. A recovered Redis must be in use again within 3 seconds. */
const PROBE_EVERY_MS = 500
const FIRST_ANSWER_MS = 1000
const PROBE_KEY = 'playgate:probe'
const PROBE_LIFE_MS = 10_000

/** Called each time Redis becomes available or unavailable, and if it is unavailable at the start. */
export type OnRedisChange = (up: boolean, cause?: unknown) => void

/**
 * Waits at most a second for Redis, and then connects in the background, so that a server also starts without Redis.
 * (The plugin @fastify/redis waits for Redis at the start, and throws if it closes while Redis is down:
 * docs/decisions/0003-redis-client.md.)
 */
export async function openRedis (url: string, onChange: OnRedisChange = () => {}): Promise<RedisLink> {
  // Imported only if Redis is configured. A bundler sees only the default export of a CommonJS module.
  const { default: ioredis } = await import('ioredis')
  const client = new ioredis.Redis(url, {
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 1,
    connectTimeout: 500,
    commandTimeout: COMMAND_LIMIT_MS,
    retryStrategy: () => PROBE_EVERY_MS,
    // The server became a replica. Its host name now resolves to the new primary.
    reconnectOnError: ({ message }) => message.startsWith('READONLY')
  })
  const link = new RedisLink(client, onChange)
  await new Promise<void>((resolve) => {
    const late = setTimeout(resolve, FIRST_ANSWER_MS)
    client.once('ready', () => {
      clearTimeout(late)
      resolve()
    })
  })
  link.reportDown()
  return link
}

/**
 * A Redis client with a circuit breaker. A caller waits at most for the limit of one command. After a failure, commands
 * are not sent until a probe succeeds.
 */
export class RedisLink {
  readonly client: Redis
  readonly #onChange: OnRedisChange
  readonly #probing: NodeJS.Timeout
  #up = false
  #cause: unknown

  constructor (client: Redis, onChange: OnRedisChange) {
    this.client = client
    this.#onChange = onChange
    client.on('error', (error) => this.#fail(error))
    client.on('close', () => this.#set(false))
    client.on('ready', () => this.#set(true))
    this.#probing = setInterval(() => this.#probe(), PROBE_EVERY_MS).unref()
  }

  /** False from the first failure until a probe succeeds. */
  get up (): boolean {
    return this.#up
  }

  /** Runs a command. Returns undefined if Redis is down or too slow. Never throws. */
  async ask<T> (command: (client: Redis) => Promise<T>): Promise<T | undefined> {
    if (!this.#up) return undefined
    try {
      return await command(this.client)
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  /** Calls `onChange` if Redis is down. */
  reportDown (): void {
    if (!this.#up) this.#onChange(false, this.#cause)
  }

  close (): void {
    clearInterval(this.#probing)
    this.client.disconnect()
  }

  /**
   * Probes by a write. A frozen Redis keeps its connection and sends no `ready`. A full Redis and a replica reply to a
   * ping, but refuse a write.
   */
  #probe (): void {
    if (this.client.status !== 'ready') return
    this.client.set(PROBE_KEY, '1', 'PX', PROBE_LIFE_MS).then(
      () => this.#set(true),
      (error: unknown) => this.#fail(error)
    )
  }

  #fail (cause: unknown): void {
    this.#cause = cause
    this.#set(false)
  }

  #set (up: boolean): void {
    if (this.#up === up) return
    this.#up = up
    this.#onChange(up, up ? undefined : this.#cause)
  }
}
