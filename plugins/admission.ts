import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Admission, Admissions, Demand } from '../src/access/admissions.js'
import { isLinkQuery } from '../src/playback/link.js'

interface Options {
  admissions: Admissions
}

/** Admits a request to the files of a media: by its link, or without a link by its token. */
export default fp<Options>(
  async (app, { admissions }) => {
    app.decorateRequest('admit', async function (this: FastifyRequest, id: string, demand?: Demand) {
      if (isLinkQuery(this.rawQuery)) return await admissions.admitLink(id, this.rawQuery, demand)
      this.viewer = await app.identify(this)
      return await admissions.admitViewer(this.requireViewer(), id, demand)
    })
    app.decorateRequest('admitAgain', async function (this: FastifyRequest, id: string, demand?: Demand) {
      if (isLinkQuery(this.rawQuery)) return await admissions.admitLink(id, this.rawQuery, demand)
      return await admissions.admitViewer(await app.identifyAgain(this), id, demand)
    })
  },
  { name: 'admission', dependencies: ['auth'] }
)

declare module 'fastify' {
  interface FastifyRequest {
    /** Admits this request to a media. **Throws** the errors of {@link Admissions} and of `demand`. */
    admit(id: string, demand?: Demand): Promise<Admission>
    /**
     * Repeats the check during a transfer. The token may have expired by then; the expiry of a link ends the stream.
     */
    admitAgain(id: string, demand?: Demand): Promise<Admission>
  }
}
