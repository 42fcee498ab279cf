import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { call, eventually } from '../../support/server-process.js'

const CLIENTS = process.env.TEST_LONG ? 2000 : 200

type Parsed = { level: number; msg: string; status?: number; address?: string }

/** A server that logs; it takes 100 requests a minute of an address. */
async function loggingServer (t: Test) {
  const lines: string[] = []
  const logger = {
    level: 'info',
    stream: {
      write: (line: string) => {
        lines.push(line)
      }
    }
  }
  const server = await buildTestApp(t, { RATE_LIMIT_API_PER_MINUTE: '100' }, { logger })
  const origin = await server.listen()
  const logged = async () => {
    await eventually(
      'all connections are closed',
      async () =>
        await new Promise((resolve) => {
          server.app.server.getConnections((_error, count) => resolve(count === 0))
        })
    )
    const all = lines.map((line) => JSON.parse(line) as Parsed)
    return { errors: all.filter(({ level }) => level >= 50), requests: all.filter(({ msg }) => msg === 'request') }
  }
  return { server, origin, logged }
}

/** Sends a whole request and resets the connection in the same turn of the event loop, once `ready` has resolved. */
async function requestAndReset (origin: string, ready: () => Promise<void>): Promise<void> {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname).on('error', () => {})
  await once(socket, 'connect')
  await ready()
  socket.write('GET /media HTTP/1.1\r\nHost: a\r\n\r\n', () => socket.resetAndDestroy())
  await once(socket, 'close')
}

/** Fifty clients at a time; `work` is told how many there were by then. */
async function many (work: (clients: number) => Promise<void>): Promise<void> {
  for (let i = 50; i <= CLIENTS; i += 50) await Promise.all(Array.from({ length: 50 }, () => work(i)))
}

t.test('a client that resets within its first request is limited by its address (bug: 500, no limit)', async (t) => {
  const { server, origin, logged } = await loggingServer(t)
  let accepted = 0
  // Without a look at the socket: Node would keep its address from then on.
  server.app.server.on('connection', () => {
    accepted++
  })
  await many((clients) =>
    requestAndReset(origin, async () => {
      await eventually('the server has the connections', () => accepted === clients)
    })
  )
  const { errors, requests } = await logged()
  t.same(errors, [])
  t.same(
    requests.filter(({ status, address }) => status === 500 || address !== '127.0.0.1'),
    []
  )
  t.ok(requests.length > 100, `${requests.length} of ${CLIENTS} requests were read`)
  t.equal((await call(origin, '/media')).status, 429)
})

t.test('a connection that was reset before the server took it is closed (bug: 500)', async (t) => {
  const { origin, logged } = await loggingServer(t)
  await many(() => requestAndReset(origin, async () => {}))
  const { errors, requests } = await logged()
  t.same(errors, [])
  t.same(
    requests.filter(({ status, address }) => status === 500 || address !== '127.0.0.1'),
    []
  )
  t.not((await call(origin, '/media')).status, 500)
})
