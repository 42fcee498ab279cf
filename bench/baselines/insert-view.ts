import { openDatabase } from '../../src/database/open.js'
import { bareFastify, serve } from './bare-fastify.js'

// A view as one would write it first: one insert with Kysely for each request, into the same table, as durable
// (synchronous=FULL), and nothing else: no roll-ups, no look at whether its sender may watch.

const db = openDatabase({ engine: 'sqlite', path: process.env.DATABASE! })
const app = bareFastify()
app.post<{ Params: { id: string } }>('/media/:id/view', async (request) => {
  const viewedAt = Date.now()
  await db
    .insertInto('views')
    .values({
      media_id: request.params.id,
      link_id: null,
      address: request.ip,
      address_key: request.ip,
      account_id: null,
      user_agent: request.headers['user-agent'] ?? null,
      viewed_at: viewedAt
    })
    .execute()
  return {
    message: 'View logged',
    media_id: request.params.id,
    viewer_ip: request.ip,
    timestamp: new Date(viewedAt).toISOString()
  }
})
await serve(app)
