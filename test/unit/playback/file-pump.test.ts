import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises'
import { get, createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { FilePump } from '../../../src/playback/file-pump.js'

const KiB = 1024
const folder = await mkdtemp(join(tmpdir(), 'playgate-pump-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const SIZE = 1300 * KiB + 7
const content = randomBytes(SIZE)
const path = join(folder, 'content')
await writeFile(path, content)

const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const isOpen = (file: FileHandle) => file.fd !== -1

/** A sink that copies what it is given only after a while: a buffer reused too soon would show. */
function slowSink (highWaterMark: number, delay: () => Promise<unknown>): { sink: Writable; taken: Buffer[] } {
  const taken: Buffer[] = []
  const sink = new Writable({
    highWaterMark,
    write (chunk: Buffer, _encoding, callback) {
      delay().then(() => {
        taken.push(Buffer.from(chunk))
        callback()
      }, callback)
    }
  })
  return { sink, taken }
}

async function waitFor (condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 5000) throw new Error(`waited in vain until ${what}`)
    await sleep(10)
  }
}

const ranges: Array<[start: number, end: number]> = [
  [0, SIZE - 1],
  [0, 0],
  [SIZE - 1, SIZE - 1],
  [0, 256 * KiB - 1],
  [0, 256 * KiB],
  [1, 256 * KiB],
  [100, 700 * KiB],
  [256 * KiB, SIZE - 1]
]

for (const highWaterMark of [1, 1000, 16 * KiB, 64 * KiB]) {
  t.test(`bytes are the file's under a slow sink with a buffer of ${highWaterMark}`, async (t) => {
    for (const [start, end] of ranges) {
      const { sink, taken } = slowSink(highWaterMark, () => sleep(2))
      const file = await open(path)
      await pipeline(new FilePump(file, { start, end }, sink), sink)
      t.ok(Buffer.concat(taken).equals(content.subarray(start, end + 1)), `${start}-${end}`)
      await waitFor(() => !isOpen(file), 'the handle is closed')
    }
  })
}

/** A server that answers /<number> with that file, as the pump sends it. */
async function serve (
  t: Test,
  files: string[],
  sizes: number[]
): Promise<{ port: number; handles: FileHandle[]; errors: Error[] }> {
  const handles: FileHandle[] = []
  const errors: Error[] = []
  const server = createServer((request, response) => {
    const index = Number(request.url!.slice(1))
    open(files[index]!).then(
      (file) => {
        handles.push(file)
        const pump = new FilePump(file, { start: 0, end: sizes[index]! - 1 }, response)
        pump.on('error', (error) => {
          errors.push(error)
          response.destroy()
        })
        pump.pipe(response)
      },
      () => response.destroy()
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, handles, errors }
}

/** Reads a response with pauses, so that the server's socket fills; `abortAfter` bytes cuts it. */
async function fetchSlowly (port: number, path: string, pauseMs: number, abortAfter = Infinity): Promise<Buffer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ port, path, host: '127.0.0.1', agent: false }, resolve).on('error', reject)
  })
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= abortAfter) break
    if (chunks.length % 8 === 0) await sleep(pauseMs)
  }
  return Buffer.concat(chunks)
}

t.test('many slow responses at once, some aborted, never mix their bytes', async (t) => {
  const size = 2 * KiB * KiB
  const contents = await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const data = randomBytes(size + index * 1111)
      await writeFile(join(folder, `many-${index}`), data)
      return data
    })
  )
  const { port, handles } = await serve(
    t,
    contents.map((_, index) => join(folder, `many-${index}`)),
    contents.map(({ length }) => length)
  )
  for (let round = 0; round < 3; round++) {
    await Promise.all(
      contents.flatMap((data, index) => [
        fetchSlowly(port, `/${index}`, 1 + (index % 3)).then((got) =>
          t.equal(sha(got), sha(data), `whole file ${index}`)
        ),
        fetchSlowly(port, `/${index}`, 2, 100 * KiB * (index % 10)).then((got) =>
          t.ok(got.equals(data.subarray(0, got.length)), `beginning of ${index}`)
        )
      ])
    )
  }
  await waitFor(() => !handles.some(isOpen), 'all handles are closed')
})

t.test(
  "readers that keep up get larger blocks, and small ones again after a rest, and the bytes are the file's",
  async (t) => {
    const data = randomBytes(40 * KiB * KiB)
    await writeFile(join(folder, 'large'), data)
    const { port, handles } = await serve(t, [join(folder, 'large')], [data.length])
    const largest = new Set<number>()
    const restAt = [14, 30].map((mebibytes) => mebibytes * KiB * KiB)
    const fetchWithRests = async () => {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        get({ port, path: '/0', host: '127.0.0.1', agent: false }, resolve).on('error', reject)
      })
      let bytes = 0
      let same = true
      const rests = [...restAt]
      for await (const chunk of response as AsyncIterable<Buffer>) {
        same &&= chunk.equals(data.subarray(bytes, bytes + chunk.length))
        bytes += chunk.length
        if (bytes >= rests[0]!) {
          rests.shift()
          await sleep(300)
        }
      }
      return same && bytes === data.length
    }
    const read = FilePump.prototype.push
    FilePump.prototype.push = function (chunk: Buffer | null) {
      largest.add(chunk?.length ?? 0)
      return read.call(this, chunk)
    }
    t.teardown(() => {
      FilePump.prototype.push = read
    })
    // More at a time than there are large blocks.
    for (const same of await Promise.all(Array.from({ length: 20 }, fetchWithRests))) t.ok(same)
    t.ok(largest.has(4 * KiB * KiB), 'large blocks were used')
    t.ok(largest.has(256 * KiB))
    await waitFor(() => !handles.some(isOpen), 'all handles are closed')
  }
)

t.test('the handle is closed when the sink goes away, before, while and after reading', async (t) => {
  for (const [name, when] of Object.entries({
    'before it was made': async (sink: Writable) => {
      sink.destroy()
      await once(sink, 'close')
    },
    'at once': async () => {},
    'in a write': async () => {}
  })) {
    const { sink } = slowSink(1, () => sleep(50))
    const file = await open(path)
    await when(sink)
    const pump = new FilePump(file, { start: 0, end: SIZE - 1 }, sink)
    const ended = finished(pump).catch(() => {})
    if (!sink.destroyed) pump.pipe(sink)
    if (name === 'in a write') await sleep(20)
    sink.destroy()
    await ended
    await waitFor(() => !isOpen(file), name)
    t.pass(name)
  }
})

t.test('a file that is shorter than its row is an error, not a hang, and is closed', async (t) => {
  for (const size of [SIZE + 1, SIZE + 512 * KiB]) {
    const { sink } = slowSink(16 * KiB, async () => {})
    const file = await open(path)
    await t.rejects(pipeline(new FilePump(file, { start: 0, end: size - 1 }, sink), sink), {
      message: /shorter than its row/
    })
    await waitFor(() => !isOpen(file), 'closed')
  }
  const { port, handles } = await serve(t, [path], [SIZE + 1])
  await t.rejects(fetchSlowly(port, '/0', 0), 'the client sees the connection end')
  await waitFor(() => !handles.some(isOpen), 'closed')
})

t.test('a read error ends the stream with it and closes the handle', async (t) => {
  const file = await open(path)
  file.read = (async () => {
    throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }) as unknown as typeof file.read
  const { sink } = slowSink(16 * KiB, async () => {})
  await t.rejects(pipeline(new FilePump(file, { start: 0, end: SIZE - 1 }, sink), sink), { code: 'EIO' })
  await waitFor(() => !isOpen(file), 'closed')
})
