import fp from 'fastify-plugin'

/**
 * What browsers are told of pages and JSON, as OWASP's secure headers project lists it. No `upgrade-insecure-requests`: it blanks every page that
 * is served over plain http on a host that is not localhost. No `same-origin` policy for resources: it would keep a video from playing on another
 * site. Neither cross-origin-opener-policy nor origin-agent-cluster: browsers ignore both on plain http, and say so on the console of every page.
 *
 * They are always the same, and set at once: @fastify/helmet, which works them out anew each time, cost 45 µs a request.
 */
const HEADERS = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'cross-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'SAMEORIGIN',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0'
}

/** Sets the security headers of every answer but those of routes with `config: { ownHeaders: true }`, which know better. */
export default fp(async (app) => {
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config?.ownHeaders !== true) reply.headers(HEADERS)
    done()
  })
}, { name: 'security-headers' })

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route sets its own security headers: those of media let other sites play them. */
    ownHeaders?: boolean
  }
}
