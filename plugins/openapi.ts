import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Type } from '@sinclair/typebox'
import type { FastifyContextConfig, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { completeDescription, type ApiDescription } from '../src/openapi/api-description.js'
import type { FormSchemas } from '../src/schemas/form.js'
import { NegotiatedText } from './negotiated-text.js'
import { VERSION } from '../src/version.js'
import type { Config } from '../src/config/config.js'

type Document = NonNullable<FastifyDynamicSwaggerOptions['openapi']>

interface Options {
  config: Pick<Config, 'publicUrl'>
}

/**
 * The policy of the documentation pages. They load only from this server, apart from inline styles and `data:` and
 * `blob:` URLs. No site may frame them.
 */
const PAGE_CSP =
  "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self'; worker-src " +
  "'self' blob:; frame-ancestors 'none'"

/** The logo: a play symbol and the name of the project. */
const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" width="150" height="40" viewBox="0 0 150 40">
<rect x="4" y="6" width="28" height="28" rx="6" fill="#3b82f6"/><path d="M14 13v14l11-7z" fill="#fff"/>
<text x="42" y="27" fill="#fff" font-family="sans-serif" font-size="20" font-weight="600">Playgate</text>
</svg>`

const TAGS = [
  {
    name: 'Accounts',
    description: 'Sign up, log in, and manage accounts. A refresh token gets the next access token.'
  },
  { name: 'API keys', description: 'Credentials of programs, each limited to scopes.' },
  { name: 'Media', description: 'Upload media, and issue links to them.' },
  { name: 'Uploads', description: 'Upload a file in several requests (tus 1.0), and continue after interruptions.' },
  { name: 'Streaming', description: 'Stream media by byte range.' },
  { name: 'Captions', description: 'Captions, subtitles and chapters of media.' },
  { name: 'Views and analytics', description: 'Count views, and see who watched.' },
  { name: 'Courses', description: 'Courses of lectures, created by instructors.' },
  { name: 'Lectures', description: "Lectures of a course. Each one is a media of the course's owner." },
  { name: 'Subscriptions', description: 'Subscribe to courses, and follow your progress.' },
  { name: 'Service', description: 'Health, metrics and problem pages of the server.' }
]

/** The ways in which a request can authenticate. */
const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
  login: {
    type: 'oauth2',
    description: 'Log in with your email and password.',
    flows: { password: { tokenUrl: '/auth/login', scopes: {} } }
  },
  apiKey: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'pgk_<id>_<secret>',
    description: 'An API key. Each operation names the scope that the key needs.'
  }
} as const

/** Serves `/openapi.json`, Swagger UI at `/docs` and ReDoc at `/redoc`. */
export default fp<Options>(
  async (app, { config: { publicUrl } }) => {
    await app.register(swagger, {
      openapi: documentOf(publicUrl),
      transformObject: (document) =>
        completeDescription('openapiObject' in document ? (document.openapiObject as ApiDescription) : {}) as object,
      transform: ({ schema, url, route }) => ({ url, schema: withBody(schema, route.config) }),
      refResolver: { buildLocalReference: (schema, _baseUri, _fragment, i) => String(schema.$id ?? `def-${i}`) }
    })
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { deepLinking: true, displayRequestDuration: true, tryItOutEnabled: true },
      theme: {
        title: 'Playgate API',
        favicon: [{ filename: 'favicon.svg', rel: 'icon', type: 'image/svg+xml', sizes: 'any', content: LOGO }]
      },
      logo: { type: 'image/svg+xml', content: Buffer.from(LOGO), href: '/' },
      staticCSP: PAGE_CSP
    })
    let description: NegotiatedText | undefined
    app.get('/openapi.json', { schema: { hide: true } }, (request, reply) => {
      description ??= new NegotiatedText(JSON.stringify(app.swagger()), 'application/json; charset=utf-8')
      return description.send(request, reply)
    })
    app.get('/redoc', { schema: { hide: true } }, (_request, reply) => {
      reply.header('content-security-policy', PAGE_CSP).sendFile('redoc/index.html', { maxAge: 0 })
    })
    app.get('/redoc/redoc.standalone.js', { schema: { hide: true } }, (_request, reply) => {
      reply.sendFile('redoc/redoc.standalone.js')
    })
  },
  { name: 'docs', dependencies: ['assets', 'errors'] }
)

/** Returns the general part of the API description. */
function documentOf (publicUrl: string | undefined): Document {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Playgate',
      version: VERSION,
      description:
        'Upload once, hand out links that expire, stream by range, know who watched. ' +
        'Every path is also served under `/api/v1`.',
      contact: { name: 'The operator of this server', ...(publicUrl !== undefined && { url: publicUrl }) },
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
    },
    servers: [{ url: publicUrl ?? '/' }],
    tags: TAGS,
    components: { securitySchemes: SECURITY_SCHEMES }
  }
}

/** The header of an operation that creates something (plugins/idempotency.ts). */
const IDEMPOTENCY_HEADERS = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 257,
      description:
        'A unique value for this request, such as a UUID. For 24 hours, a repeated request of your account with this ' +
        'key and the same content creates nothing. It gets the first response with `Idempotency-Replayed: true`.',
      examples: ['"8e03978e-40d5-43e8-bc93-6894a57f9324"']
    })
  )
})

/** Adds the headers of a creation, and the request body of a route that reads its body itself: a form or a file. */
function withBody (schema: FastifySchema, config: FastifyContextConfig | undefined): FastifySchema {
  return {
    ...schema,
    ...(config?.headOperationId !== undefined && { operationId: config.headOperationId }),
    ...(config?.idempotent && { headers: IDEMPOTENCY_HEADERS }),
    ...(config?.form && { body: withForm(schema.body, config.form) }),
    ...(config?.rawBody && {
      body: { content: withRawTypes(config.rawBody) }
    })
  }
}

function withRawTypes (rawBody: true | readonly string[]): object {
  const types = rawBody === true ? ['application/octet-stream'] : rawBody
  return Object.fromEntries(types.map((type) => [type, { schema: Type.String({ format: 'binary' }) }]))
}

/**
 * Adds a multipart form to the bodies of a route. The form is validated while it arrives, not by the body's schema. The
 * form is listed first: some client generators support only the first media type, and only a form can contain a file.
 */
function withForm (body: unknown, { schema }: FormSchemas): unknown {
  const content = (body as { content?: object } | undefined)?.content
  return { content: { 'multipart/form-data': { schema }, ...content } }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The types of a body that the route reads itself, or true for a file of any type. */
    rawBody?: true | readonly string[]
    /** The `operationId` of a route for HEAD. In its schema, the generator would change it. */
    headOperationId?: string
  }
}
