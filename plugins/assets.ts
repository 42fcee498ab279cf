import fastifyStatic from '@fastify/static'
import fp from 'fastify-plugin'
import { fileURLToPath } from 'node:url'
import { HOUR } from '../src/time.js'

/** The folder that build.js writes: the files of web/ and the libraries that the pages load. */
const FOLDER = fileURLToPath(new URL('../assets/', import.meta.url))

/**
 * Adds `reply.sendFile(name)` for the files that browsers load, with ETag, Last-Modified, ranges and HEAD. Routes name
 * each file, so no path from a client reaches the disk. Routes do not return the reply: Fastify would await it and add
 * more listeners than Node allows without a warning.
 */
export default fp(
  async (app) => {
    await app.register(fastifyStatic, {
      root: FOLDER,
      serve: false,
      maxAge: HOUR,
      // RFC 9239 obsoletes application/javascript.
      setHeaders (reply, path) {
        if (path.endsWith('.js') && reply.statusCode !== 304) {
          reply.header('content-type', 'text/javascript; charset=utf-8')
        }
      }
    })
  },
  { name: 'assets' }
)
