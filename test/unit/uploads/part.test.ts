import { createHash } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import { MiB } from '../../../src/bytes.js'
import { ApiError } from '../../../src/errors.js'
import type { DraftWriter } from '../../../src/storage/blob-store.js'
import { receivePart, type PartOptions } from '../../../src/uploads/part.js'

/** A part whose writer and store note what is done, in order. */
function newPart (change: Partial<PartOptions> = {}) {
  const steps: string[] = []
  let position = 0
  let pending = 0
  const ended = new AbortController()
  const writer: DraftWriter = {
    get position () {
      return position
    },
    async write (chunk) {
      pending += chunk.length
      if (pending >= MiB) await this.flush()
    },
    async flush () {
      position += pending
      pending = 0
    },
    async sync () {
      const synced = position
      await new Promise(setImmediate)
      steps.push(`sync ${synced}`)
      return synced
    },
    async close () {}
  }
  const hold = { id: 'u', holder: 'h', ended: ended.signal, persist () {}, async confirm () {}, async release () {} }
  const store = async (offsetBytes: number) => {
    steps.push(`store ${offsetBytes}`)
  }
  return { steps, ended, options: { hold, writer, maxBytes: 1000 * MiB, store, ...change } }
}

const codeOf = (error: unknown) => (error as ApiError).code
const chunks = (count: number) => Readable.from(Array.from({ length: count }, () => Buffer.alloc(MiB)))

t.test('bytes are synced before their number is stored, and the part ends after that', async (t) => {
  const { steps, options } = newPart()
  await receivePart(Readable.from([Buffer.alloc(10)]), options)
  t.same(steps, ['sync 10', 'store 10'])
})

t.test('a long part is stored on the way, each number after its sync', async (t) => {
  const { steps, options } = newPart()
  await receivePart(chunks(100), options)
  t.equal(steps.at(-1), `store ${100 * MiB}`)
  let stored = 0
  for (const [index, step] of steps.entries()) {
    if (!step.startsWith('store ')) continue
    t.equal(steps[index - 1], step.replace('store', 'sync'))
    const bytes = Number(step.slice('store '.length))
    t.ok(bytes - stored <= 48 * MiB, `a slow disk holds the client up: ${step}`)
    stored = bytes
  }
})

t.test('an interrupted part is kept, unless it has a checksum', async (t) => {
  const digest = createHash('sha1').digest()
  for (const checksum of [undefined, { algorithm: 'sha1', digest } as const]) {
    const { steps, options } = newPart({ checksum })
    const source = new PassThrough()
    source.write(Buffer.alloc(10))
    const received = receivePart(source, options)
    await new Promise(setImmediate)
    source.destroy(new Error('reset'))
    t.equal(codeOf(await received.catch((error: unknown) => error)), 'upload_incomplete')
    t.same(steps, checksum === undefined ? ['sync 10', 'store 10'] : [])
  }
})

t.test('a part ends for a newer request, and its bytes are kept', async (t) => {
  const { steps, ended, options } = newPart()
  const source = new PassThrough()
  source.write(Buffer.alloc(10))
  const received = receivePart(source, options)
  await new Promise(setImmediate)
  ended.abort()
  t.equal(codeOf(await received.catch((error: unknown) => error)), 'upload_incomplete')
  t.same(steps, ['sync 10', 'store 10'])
  const late = newPart()
  late.ended.abort()
  const refused = await receivePart(chunks(1), late.options).catch((error: unknown) => error)
  t.equal(codeOf(refused), 'upload_incomplete', 'also if it wanted to end before the first byte')
})

t.test('a request that lost the upload stores nothing', async (t) => {
  const { steps, options } = newPart()
  const lost = async () => {
    throw new ApiError('upload_locked')
  }
  const received = receivePart(chunks(1), { ...options, hold: { ...options.hold, confirm: lost } })
  t.equal(codeOf(await received.catch((error: unknown) => error)), 'upload_locked')
  t.same(steps, [])
})

t.test('a part that is too long is refused; what fits is kept', async (t) => {
  const { steps, options } = newPart({ maxBytes: 15 })
  const received = receivePart(Readable.from([Buffer.alloc(10), Buffer.alloc(10)]), options)
  t.equal(codeOf(await received.catch((error: unknown) => error)), 'payload_too_large')
  t.same(steps, ['sync 10', 'store 10'])
})

t.test('after a failed sync no number is stored', async (t) => {
  const { steps, options } = newPart()
  options.writer.sync = async () => {
    throw new ApiError('storage_unavailable')
  }
  t.equal(codeOf(await receivePart(chunks(40), options).catch((error: unknown) => error)), 'storage_unavailable')
  t.same(steps, [])
})
