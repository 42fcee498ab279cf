import { createReadStream, statSync } from 'node:fs'
import { bareFastify, serve } from './bare-fastify.js'

// The usual way to stream a file from Node: createReadStream, with chunks of 256 KiB rather than its 64.

const file = process.env.FILE!
const { size } = statSync(file)
const app = bareFastify()
app.get('/', (_request, reply) =>
  reply
    .header('content-length', size)
    .type('audio/wav')
    .send(createReadStream(file, { highWaterMark: 256 * 1024 }))
)
await serve(app)
