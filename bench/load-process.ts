import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job, LoadResult } from './load.js'
import { quantileOf } from './samples.js'

// The load generator: bare sockets and a parser of only the headers. A request costs it a few microseconds, so that the
// server is always the bottleneck.

const KiB = 1024
let stopped = false

interface Reply {
  status: number
  bytes: number
  text: string
}

/** A connection of an address of this machine's loopback that asks one request at a time. */
class Connection {
  readonly #socket: Socket
  #restAt = Infinity
  #left = -1
  #head = ''
  #reply: Reply = { status: 0, bytes: 0, text: '' }
  #resolve: (reply: Reply) => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor (origin: string, number: number) {
    const { hostname, port } = new URL(origin)
    const buffer = Buffer.allocUnsafe(256 * KiB)
    this.#socket = connect({
      host: hostname,
      port: Number(port),
      localAddress: `127.0.${Math.floor(number / 250)}.${(number % 250) + 1}`,
      noDelay: true,
      onread: { buffer, callback: (bytes) => this.#parse(buffer, bytes) }
    })
    for (const event of ['error', 'close']) {
      this.#socket.on(event, (error?: Error) =>
        this.#reject(error instanceof Error ? error : new Error('the server closed the connection'))
      )
    }
  }

  /** When it is there. */
  get opened (): Promise<unknown> {
    return this.#socket.connecting ? once(this.#socket, 'connect') : Promise.resolve()
  }

  ask (request: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#socket.write(request, 'latin1')
    })
  }

  /** The socket itself, for bodies. */
  get socket (): Socket {
    return this.#socket
  }

  /** Reads this many bytes more and then no further, to one read of the socket; without it, all that comes. */
  take (bytes: number): void {
    this.#restAt = this.#socket.bytesRead + bytes
    this.#socket.resume()
  }

  end (): void {
    this.#reject = () => {}
    this.#socket.destroy()
  }

  /** Answers whether to read on. */
  #parse (buffer: Buffer, bytes: number): boolean {
    let start = 0
    if (this.#left === -1) {
      const end = buffer.subarray(0, bytes).indexOf('\r\n\r\n')
      this.#head += buffer.toString('latin1', 0, end === -1 ? bytes : end)
      if (end === -1) return true
      const length = /\r\ncontent-length: (\d+)/i.exec(this.#head)
      this.#reply = { status: Number(this.#head.slice(9, 12)), bytes: 0, text: '' }
      // Without a length it is a reply without a body: the servers here chunk nothing.
      this.#left = length === null ? 0 : Number(length[1])
      start = end + 4
    }
    const body = Math.min(this.#left, bytes - start)
    this.#left -= body
    this.#reply.bytes += body
    if (this.#reply.text.length < 4096 && body > 0) {
      this.#reply.text += buffer.toString('latin1', start, start + Math.min(body, 4096))
    }
    if (this.#left === 0) {
      this.#left = -1
      this.#head = ''
      this.#resolve(this.#reply)
    }
    return this.#socket.bytesRead < this.#restAt
  }
}

const LOOK_EVERY_MS = 0.5

/**
 * Sleeps between looks at the sockets, until told to stop. A generator that waits for the next answer is woken by it,
 * and on one machine the server pays for that as it sends: some 10 µs on a virtual one, and the more often the slower
 * the server is, since a generator with nothing to do sleeps. Over a network that is another machine's.
 */
function pollPeriodically (): () => void {
  const never = new Int32Array(new SharedArrayBuffer(4))
  let over = false
  const sleepOn = () => {
    if (over) return
    Atomics.wait(never, 0, 0, LOOK_EVERY_MS)
    setImmediate(sleepOn)
  }
  setImmediate(sleepOn)
  return () => {
    over = true
  }
}

/** `seconds`: where not all of the time counts. */
type Counted = Pick<LoadResult, 'count' | 'bytes' | 'last'> & { latencies: number[]; seconds?: number }

async function requests ({
  origin,
  connections,
  count = Infinity,
  seconds = Infinity,
  requests,
  perSecond,
  expect
}: Job & { kind: 'requests' }): Promise<Counted> {
  const counted: Counted = { count: 0, bytes: 0, last: '', latencies: [] }
  const lanes = Array.from({ length: connections }, (_, number) => new Connection(origin, number))
  await Promise.all(lanes.map(({ opened }) => opened))
  const begin = performance.now()
  const end = begin + seconds * 1000
  const wakeAgain = count < Infinity ? pollPeriodically() : () => {}
  let turn = 0
  await Promise.all(
    lanes.map(async (connection, number) => {
      const everyMs = perSecond === undefined ? 0 : (1000 * connections) / perSecond
      let next = performance.now() + (everyMs * number) / connections
      while (!stopped && turn < count && performance.now() < end) {
        if (everyMs > 0) {
          await sleep(Math.max(0, next - performance.now()))
          next += everyMs
        }
        const start = performance.now()
        const reply = await connection.ask(requests[turn++ % requests.length]!)
        if (reply.status !== expect) throw new Error(`status ${reply.status}: ${reply.text}`)
        counted.latencies.push(performance.now() - start)
        counted.count++
        counted.bytes += reply.bytes
        counted.last = reply.text
      }
      connection.end()
    })
  )
  wakeAgain()
  return { ...counted, seconds: (performance.now() - begin) / 1000 }
}

/** Whole replies; slowly, if told so: a part is read, then the socket rests. */
async function download ({
  origin,
  request,
  times,
  connections = 1,
  bytesPerSecond,
  expect
}: Job & { kind: 'download' }): Promise<Counted> {
  const counted: Counted = { count: 0, bytes: 0, last: '', latencies: [] }
  await Promise.all(
    Array.from({ length: connections }, async (_, number) => {
      for (let time = 0; time < times; time++) {
        const connection = new Connection(origin, number)
        const asked = connection.ask(request)
        if (bytesPerSecond !== undefined) {
          asked.catch(() => {})
          while (!stopped) {
            connection.take(bytesPerSecond)
            await sleep(1000)
          }
          counted.bytes += connection.socket.bytesRead
          counted.count++
        } else {
          const reply = await asked
          if (reply.status !== expect) throw new Error(`status ${reply.status}: ${reply.text}`)
          counted.bytes += reply.bytes
          counted.count++
        }
        connection.end()
      }
    })
  )
  return counted
}

async function upload ({ origin, head, prefix, bytes, suffix, expect }: Job & { kind: 'upload' }): Promise<Counted> {
  const block = randomFillSync(Buffer.allocUnsafe(1024 * KiB))
  const connection = new Connection(origin, 0)
  const { socket } = connection
  const start = performance.now()
  const answered = connection.ask(head)
  const send = async (part: Buffer) => {
    if (!socket.write(part)) await new Promise((resolve) => socket.once('drain', resolve))
  }
  await send(Buffer.from(prefix, 'latin1'))
  for (let left = bytes; left > 0; left -= block.length) {
    await send(left < block.length ? block.subarray(0, left) : block)
  }
  await send(Buffer.from(suffix, 'latin1'))
  const reply = await answered
  connection.end()
  if (reply.status !== expect) throw new Error(`status ${reply.status}: ${reply.text}`)
  return { count: 1, bytes: prefix.length + bytes, last: reply.text, latencies: [performance.now() - start] }
}

process.on('disconnect', () => process.exit())
process.on('message', (job: Job | 'stop') => {
  if (job === 'stop') {
    stopped = true
    return
  }
  stopped = false
  const cpu = process.cpuUsage()
  const start = performance.now()
  const run = job.kind === 'requests' ? requests(job) : job.kind === 'download' ? download(job) : upload(job)
  run
    .then(({ latencies, ...counted }): LoadResult => {
      const { user, system } = process.cpuUsage(cpu)
      const quantile = (share: number) => (latencies.length === 0 ? 0 : quantileOf(latencies, share))
      return {
        seconds: (performance.now() - start) / 1000,
        ...counted,
        p50Ms: quantile(0.5),
        p99Ms: quantile(0.99),
        cpuSeconds: (user + system) / 1e6
      }
    })
    .then(
      (result) => process.send!(result),
      (error: Error) => process.send!({ error: error.stack ?? error.message })
    )
})
