import fp from 'fastify-plugin'
import { withoutPorts } from '../src/http/forwarded-for.js'

/** Removes ports from `X-Forwarded-For`: with them no proxy is trusted, and each connection is a client of its own. */
export default fp(
  async (app) => {
    app.addHook('onRequest', ({ raw }, _reply, done) => {
      const forwarded = raw.headers['x-forwarded-for']
      if (typeof forwarded === 'string') raw.headers['x-forwarded-for'] = withoutPorts(forwarded)
      done()
    })
  },
  { name: 'forwarded-for' }
)
