import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Admission } from '../src/access/admissions.js'
import type { Views } from '../src/views/views.js'

interface Options {
  views: Views
}

/** Counts the views of streams: of files, of packages and of media at another provider. */
export default fp<Options>(
  async (app, { views }) => {
    app.decorateRequest('countView', async function (this: FastifyRequest, { media, link, accountId }: Admission) {
      const source = { address: this.ip, accountId, userAgent: this.headers['user-agent'] }
      await views.countStream(media.id, link?.linkId ?? null, source, (error) =>
        this.log.warn({ err: error }, 'failed to count a view')
      )
    })
  },
  { name: 'view-count' }
)

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Counts a view before the first byte is sent, so that the next analytics include it. Resolves after at most half a
     * second, and never rejects: a stream must not fail because of its view.
     */
    countView(admission: Admission): Promise<void>
  }
}
