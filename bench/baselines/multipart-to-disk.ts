import multipart from '@fastify/multipart'
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { bareFastify, serve } from './bare-fastify.js'

// The recipe of @fastify/multipart's own page: a part piped to disk, here with its SHA-256 taken on the way.

const app = bareFastify()
await app.register(multipart, { limits: { fileSize: Infinity } })
app.post('/media', async (request, reply) => {
  for await (const part of request.parts()) {
    if (part.type !== 'file') continue
    const path = join(process.env.FOLDER!, randomUUID())
    const hash = createHash('sha256')
    await pipeline(
      part.file,
      async function * (source) {
        for await (const chunk of source) {
          hash.update(chunk as Buffer)
          yield chunk
        }
      },
      createWriteStream(path)
    )
    await rm(path)
    return await reply.code(201).send({ sha256: hash.digest('hex') })
  }
})
await serve(app)
