import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { ApiError } from '../src/errors.js'
import { StringEnum } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'
import type { MuxEvents } from '../src/protection/mux/mux-events.js'

/** `events` is undefined where no Mux account is set up. */
interface Options {
  events: MuxEvents | undefined
}

/** An event holds one asset with its tracks: some KiB. */
const MAX_BYTES = 1024 * 1024

const routes: FastifyPluginAsync<Options> = async (app, { events }) => {
  // The signature is over the bytes as they came, whatever they call themselves.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  app.post(
    '/webhooks/mux',
    {
      // Whoever is not Mux costs one hash; Mux, limited, would lose events.
      config: { limit: 'none' },
      bodyLimit: MAX_BYTES,
      schema: {
        operationId: 'receiveMuxEvent',
        summary: 'Take an event from Mux',
        description:
          'Enter this address in the Mux dashboard, and the secret that it gives you as `MUX_WEBHOOK_SECRET`. The body is a JSON event, signed in the header `mux-signature`; at most five minutes may lie between its time and ours. Each event is dealt with once, in any order; types that are of no interest are answered 200 as well.',
        tags: ['Service'],
        security: [],
        headers: Type.Object({
          'mux-signature': Type.Optional(Type.String({ examples: ['t=1764000000,v1=5257a869…'] }))
        }),
        response: {
          200: Type.Object({ outcome: StringEnum(['accepted', 'duplicate', 'ignored']) }),
          ...problemResponses(
            'bad_request',
            'malformed_json',
            'webhook_signature_invalid',
            'route_not_found',
            'payload_too_large',
            'database_unavailable'
          )
        }
      }
    },
    async ({ body, headers }) => {
      if (events === undefined) throw new ApiError('route_not_found')
      const signature = headers['mux-signature']
      return {
        outcome: await events.receive(
          Buffer.isBuffer(body) ? body : Buffer.alloc(0),
          typeof signature === 'string' ? signature : undefined
        )
      }
    }
  )
}

export default routes
