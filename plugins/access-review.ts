import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { AccessReview } from '../src/access/access-review.js'
import type { Accounts } from '../src/accounts/accounts.js'

interface Options {
  review: AccessReview
  accounts: Accounts
}

/** Ends transfers that outlive the right to them. */
export default fp<Options>(
  async (app, { review, accounts }) => {
    app.decorateReply('stillAllowed', undefined)
    app.decorateReply('reviewDownload', function (this: FastifyReply) {
      return this.stillAllowed === undefined ? () => {} : review.add(this.stillAllowed, () => this.raw.destroy())
    })
    app.decorateRequest('reviewUpload', function (this: FastifyRequest) {
      const { id } = this.requireViewer()
      return review.add(
        () => accounts.requirePublisher(id),
        (refusal) => this.raw.destroy(refusal)
      )
    })
    app.addHook('onClose', async () => review.stop())
  },
  { name: 'access-review', dependencies: ['auth'] }
)

declare module 'fastify' {
  interface FastifyReply {
    /** Set by a route before it sends a file: rejects once the request would be refused. */
    stillAllowed: (() => Promise<unknown>) | undefined
    /** Cuts this response when `stillAllowed` rejects. Returns how to stop. */
    reviewDownload(): () => void
  }
  interface FastifyRequest {
    /** Cuts this upload when its account may not publish any more. Returns how to stop. */
    reviewUpload(): () => void
  }
}
