import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { MiB } from '../src/bytes.js'
import { ApiError } from '../src/errors.js'
import type { MuxEvents } from '../src/protection/mux/mux-events.js'
import { StringEnum } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'

/** `events` is undefined without a Mux account. */
interface Options {
  providers: { mux: { events: MuxEvents } | undefined }
}

/** An event contains one asset with its tracks: a few KiB. */
const MAX_BYTES = MiB

const receiveMuxEvent = {
  // A forged event costs one hash, so no limit is needed. A limit could lose events of Mux.
  config: { limit: 'none' },
  bodyLimit: MAX_BYTES,
  schema: {
    operationId: 'receiveMuxEvent',
    summary: 'Receive an event from Mux',
    description:
      'Enter this URL in the Mux dashboard, and set `MUX_WEBHOOK_SECRET` to the secret that Mux shows. ' +
      'The body is a JSON event, signed in the header `mux-signature` at most five minutes before or after now. ' +
      'Each event is processed once, in any order. Event types that are not used get a 200 too.',
    tags: ['Service'],
    headers: Type.Object({
      'mux-signature': Type.Optional(Type.String({ examples: ['t=1764000000,v1=5257a869…'] }))
    }),
    response: {
      200: Type.Object({ outcome: StringEnum(['accepted', 'duplicate', 'ignored']) }),
      ...problemResponses('malformed_json', 'webhook_signature_invalid', 'route_not_found', 'payload_too_large')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { providers }) => {
  const events = providers.mux?.events
  // The signature covers the bytes as they were sent, so no parser may change them.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  app.post('/webhooks/mux', receiveMuxEvent, async ({ body, headers }) => {
    if (events === undefined) throw new ApiError('route_not_found')
    const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0)
    return { outcome: await events.receive(bytes, headers['mux-signature']) }
  })
}

export default routes
