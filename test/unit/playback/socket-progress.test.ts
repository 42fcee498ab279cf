import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { socketProgress } from '../../../src/playback/socket-progress.js'

const MiB = 1024 * 1024
/** More than the buffers of both ends take. */
const BYTES = 64 * MiB

/** Both ends of a connection. */
async function connection (t: Test): Promise<{ server: Socket, client: Socket }> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const accepted = once(listener, 'connection') as Promise<[Socket]>
  const client = connect((listener.address() as AddressInfo).port, '127.0.0.1')
  const [server] = await accepted
  t.teardown(() => {
    client.destroy()
    server.destroy()
    listener.close()
  })
  return { server, client }
}

t.test('a client that does not read is pending, and one that reads takes all bytes', async (t) => {
  const { server, client } = await connection(t)
  t.same(socketProgress(server), { takenBytes: 0, isPending: false })
  const sent = new Promise<void>((resolve) => { server.write(Buffer.alloc(BYTES), () => resolve()) })
  const { takenBytes, isPending } = socketProgress(server)
  t.ok(isPending)
  t.ok(takenBytes < BYTES, `the kernel took ${takenBytes} bytes`)
  client.resume()
  await sent
  t.same(socketProgress(server), { takenBytes: BYTES, isPending: false })
})

t.test('progress is seen within a single write', async (t) => {
  const { server, client } = await connection(t)
  server.write(Buffer.alloc(BYTES))
  const before = socketProgress(server).takenBytes
  let received = 0
  for await (const chunk of client as AsyncIterable<Buffer>) {
    received += chunk.length
    if (received > BYTES / 2) break
  }
  const { takenBytes, isPending } = socketProgress(server)
  t.ok(takenBytes > before, `${before} bytes, and then ${takenBytes}`)
  t.ok(takenBytes >= received)
  t.ok(isPending || takenBytes === BYTES)
})

t.test('without a socket, or with one that counts nothing, there is no progress', async (t) => {
  t.same(socketProgress(null), { takenBytes: 0, isPending: false })
  t.same(socketProgress({} as Socket), { takenBytes: 0, isPending: false })
})
