import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import type { AccessReview } from '../src/access/access-review.js'
import type { Accounts } from '../src/accounts/accounts.js'
import { ApiError } from '../src/errors.js'
import type { ConcurrencyLimiter } from '../src/limits/concurrency-limiter.js'

interface Options {
  /** Limits the number of uploads that are received concurrently. */
  uploadLimiter: ConcurrencyLimiter
  review: AccessReview
  accounts: Accounts
}

/** Receives the bytes of every upload: forms, request bodies and their parts. */
export default fp<Options>(
  async (app, { uploadLimiter, review, accounts }) => {
    app.decorateRequest('receiveUpload', async function <
      T
    >(this: FastifyRequest, receive: (body: IncomingMessage) => Promise<T>) {
      const { raw, ip } = this
      const { id: accountId } = this.requireViewer()
      const slot = uploadLimiter.acquire({ accountId, address: ip })
      const endReview = review.add(
        async () => {
          await accounts.requirePublisher(accountId)
          if (this.usesApiKey) await app.identifyAgain(this)
        },
        (refusal) => raw.destroy(refusal)
      )
      try {
        return await receive(raw)
      } catch (error) {
        throw uploadError(raw, error)
      } finally {
        endReview()
        slot.release()
      }
    })
  },
  { name: 'uploads', dependencies: ['auth'] }
)

/** Converts the error of a body that ended early, unless the server refused the upload. */
function uploadError (body: IncomingMessage, error: unknown): unknown {
  const isRefusal = error instanceof ApiError || (error as { validation?: unknown }).validation !== undefined
  return body.errored === null || isRefusal ? error : new ApiError('upload_incomplete', { cause: error })
}

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Runs `receive` with the body of this request, in a slot for uploads. Closes the connection when the account may
     * no longer publish, or the API key is revoked. **Throws** `too_many_uploads` or `overloaded` without a slot,
     * `upload_incomplete` if the body ends early, or the error of `receive`.
     */
    receiveUpload<T>(receive: (body: IncomingMessage) => Promise<T>): Promise<T>
  }
}
