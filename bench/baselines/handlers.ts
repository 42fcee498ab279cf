import { readFileSync } from 'node:fs'
import { bareFastify, serve } from './bare-fastify.js'

// Handlers that do nothing: an empty one, and one for each JSON document of the file that REPLIES names, answered as an
// object.

const app = bareFastify()
app.get('/', (_request, reply) => {
  reply.send('')
})
app.post('/', (_request, reply) => {
  reply.send('')
})
const replies =
  process.env.REPLIES === undefined
    ? {}
    : (JSON.parse(readFileSync(process.env.REPLIES, 'utf8')) as Record<string, unknown>)
for (const [path, document] of Object.entries(replies)) {
  app.get(path, (_request, reply) => {
    reply.send(document)
  })
}
await serve(app)
