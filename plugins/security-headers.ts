import helmet from '@fastify/helmet'
import fp from 'fastify-plugin'

/**
 * The usual headers for pages and JSON. Media routes set their own few (`helmet: false`): these cost 45 µs a request, and
 * `same-origin` would keep a video from playing on another site. No `upgrade-insecure-requests`: it blanks every page that is
 * served over plain http on a host that is not localhost.
 */
export default fp(async (app) => {
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    referrerPolicy: { policy: 'no-referrer' },
    strictTransportSecurity: false,
    // Browsers ignore both on plain http, and say so on the console of every page.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false
  })
}, { name: 'security-headers' })
