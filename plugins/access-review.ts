import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { AccessReview } from '../src/access/access-review.js'
import type { Accounts } from '../src/accounts/accounts.js'

interface Options {
  review: AccessReview
  accounts: Accounts
}

/** Ends an upload or a download when the account or link that authorized it becomes invalid. */
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
    /** A route sets this function before it sends a file. It rejects if the request would now be refused. */
    stillAllowed: (() => Promise<unknown>) | undefined
    /** Closes the connection of this response when `stillAllowed` rejects. Returns a function that ends the checks. */
    reviewDownload(): () => void
  }
  interface FastifyRequest {
    /**
     * Closes the connection of this upload when its account may no longer publish. Returns a function that ends the
     * checks.
     */
    reviewUpload(): () => void
  }
}
