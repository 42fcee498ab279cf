import type { Redis } from 'ioredis'

/** A command that takes longer counts as lost: limits and cache go on in this process meanwhile. */
const COMMAND_LIMIT_MS = 200
/** How often a lost Redis is asked whether it is back: well inside the three seconds in which it must be used again. */
const PROBE_EVERY_MS = 500
const FIRST_ANSWER_MS = 1000
const PROBE_KEY = 'playgate:probe'
const PROBE_LIFE_MS = 10_000

/**
 * A Redis that may go at any time. Nothing waits for it longer than one command's limit, and after one failure nobody
 * asks until it is back.
 */
export interface RedisLink {
  readonly client: Redis
  /** False from the first failure until a probe is answered. */
  readonly up: boolean
  /** Runs a command; undefined if Redis is not there, or did not answer in time. Never throws. */
  ask<T>(command: (client: Redis) => Promise<T>): Promise<T | undefined>
  close(): void
}

/** Told each time Redis goes or comes back, and when it is not there at first. */
export type OnRedisChange = (up: boolean, cause?: unknown) => void

/**
 * Waits a second for a first answer and then goes on in the background: a server starts without its Redis too.
 * (@fastify/redis waits for it at start, and ends by a `quit` that throws while offline: see docs/decisions/.)
 */
export async function openRedis (url: string, onChange: OnRedisChange = () => {}): Promise<RedisLink> {
  // Loaded only where there is a Redis; by its default, which is all that a bundler knows of CommonJS.
  const { default: ioredis } = await import('ioredis')
  const client = new ioredis.Redis(url, {
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 1,
    connectTimeout: 500,
    commandTimeout: COMMAND_LIMIT_MS,
    retryStrategy: () => PROBE_EVERY_MS,
    // One that became a replica: whoever took its place is found by its name again.
    reconnectOnError: ({ message }) => message.startsWith('READONLY')
  })
  let up = false
  let cause: unknown
  client.on('error', (error) => {
    cause = error
    set(false)
  })
  client.on('close', () => set(false))
  client.on('ready', () => set(true))
  // A frozen Redis keeps its connection and never becomes ready again: only an answer tells that it is back. A full
  // one, and a replica, answer a ping and take no writes.
  const probe = setInterval(() => {
    if (client.status === 'ready') {
      client.set(PROBE_KEY, '1', 'PX', PROBE_LIFE_MS).then(
        () => set(true),
        (error: unknown) => {
          cause = error
          set(false)
        }
      )
    }
  }, PROBE_EVERY_MS)
  probe.unref()

  function set (now: boolean): void {
    if (up === now) return
    up = now
    onChange(up, now ? undefined : cause)
  }

  await new Promise<void>((resolve) => {
    const late = setTimeout(resolve, FIRST_ANSWER_MS)
    client.once('ready', () => {
      clearTimeout(late)
      resolve()
    })
  })
  if (!up) onChange(false, cause)
  return {
    client,
    get up () {
      return up
    },
    async ask (command) {
      if (!up) return undefined
      try {
        return await command(client)
      } catch (error) {
        cause = error
        set(false)
        return undefined
      }
    },
    close () {
      clearInterval(probe)
      client.disconnect()
    }
  }
}
