import cors from '@fastify/cors'
import formbody from '@fastify/formbody'
import helmet from '@fastify/helmet'
import jwt from '@fastify/jwt'
import multipart from '@fastify/multipart'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { openDatabase } from '../../src/database/open.js'
import { bareFastify, serve } from './bare-fastify.js'

// The plugins that the server stands on, its database opened, and not one route.

const db = openDatabase({ engine: 'sqlite', path: process.env.DATABASE! })
await db.selectFrom('accounts').select('id').limit(1).execute()
const app = bareFastify()
await app.register(cors)
await app.register(helmet)
await app.register(rateLimit)
await app.register(swagger, { openapi: {} })
await app.register(swaggerUi, { routePrefix: '/docs' })
await app.register(jwt, { secret: 'a bench secret of at least thirty-two characters' })
await app.register(multipart)
await app.register(formbody)
await serve(app)
