import fastify, { type FastifyInstance } from 'fastify'

/** A Fastify as it comes, with its log as quiet as the server's under measure. */
export function bareFastify (): FastifyInstance {
  return fastify({ logger: { level: 'warn' } })
}

/** Listens on a free port, and says where. */
export async function serve (app: FastifyInstance): Promise<void> {
  console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: 0 })}`)
}
