import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Config } from '../src/config/config.js'
import { isDamaged, isDatabaseFull, isUnavailable } from '../src/database/dialect.js'
import { ApiError, databaseDamaged, type FieldError } from '../src/errors.js'
import { problems, type ProblemCode } from '../src/schemas/problem-codes.js'
import { redactUrl } from '../src/http/redact-url.js'
import { ProblemSchema, addProblems } from '../src/schemas/problem.js'
import { originOf } from './origin.js'

/** Limits of one problem document: a body may have 100,000 invalid fields, with names of any length. */
const MAX_FIELD_ERRORS = 50
const MAX_PATH_LENGTH = 200

/** Fastify's own errors, by code. */
const frameworkCodes: Record<string, ProblemCode> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_content_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'upload_incomplete',
  FST_ERR_BAD_URL: 'bad_request',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
  FST_ERR_REOPENED_CLOSE_SERVER: 'shutting_down'
}

/** A server that starts or stops sends these responses to each probe. They are not failures. */
const EXPECTED = new Set<ProblemCode>(['starting', 'shutting_down'])

/** Errors of @fastify/static, by status. */
const statusCodes: Record<number, ProblemCode> = { 412: 'precondition_failed', 416: 'range_not_satisfiable' }

/**
 * Sends every error as an RFC 9457 problem document. The document explains a client error in full. The cause of a
 * server error is only in the log.
 */
export default fp(
  async (app) => {
    const methodsOf = rememberRoutes(app)
    app.addSchema(ProblemSchema)
    app.addHook('onRoute', (route) => {
      route.schema = addProblems(route.schema, 'bad_request', 'database_unavailable')
    })

    app.decorateReply('problem', function (this: FastifyReply, error: ApiError) {
      return sendProblem(this, error, this.request.origin)
    })

    app.setErrorHandler((error: FastifyError, request, reply) => {
      // A client that disconnects during its body causes the same error code as an unreachable database: ECONNRESET.
      const known =
        request.raw.errored !== null && error === request.raw.errored
          ? new ApiError('upload_incomplete', { cause: error })
          : apiErrorOf(error)
      if (known.statusCode >= 500 && !EXPECTED.has(known.code)) {
        request.log.error(
          known.code === 'internal_error'
            ? { err: known.options.cause ?? error }
            : { reason: reasonOf(known.options.cause ?? error) },
          known.code
        )
      }
      return reply.problem(known)
    })

    app.decorate('answerUnknownRoute', (request: FastifyRequest, reply: FastifyReply) => {
      const methods = methodsOf(request.url.split('?', 1)[0]!)
      return reply.problem(
        methods.length === 0
          ? new ApiError('route_not_found')
          : new ApiError('method_not_allowed', { headers: { allow: methods.join(', ') } })
      )
    })
  },
  { name: 'errors', dependencies: ['origin'] }
)

/** Returns a short reason for the log. A stack for each failed request would flood the log while a service is down. */
function reasonOf (cause: unknown): string {
  const { message, code } = cause as { message?: string; code?: string }
  return message || code || String(cause)
}

/**
 * Sends an error as a problem document. Uses no decorator: for a URL that cannot be routed, it runs before decorators
 * exist.
 */
function sendProblem (reply: FastifyReply, { code, statusCode, options }: ApiError, origin: string): FastifyReply {
  for (const [name, value] of Object.entries(options.headers ?? {})) reply.header(name, value)
  if (statusCode === 401) reply.header('www-authenticate', 'Bearer')
  const { title, detail } = problems[code]
  const document = {
    type: `${origin}/problems/${code}`,
    title,
    status: statusCode,
    detail: options.detail ?? detail,
    instance: redactUrl(reply.request.originalUrl).split('?', 1)[0],
    code,
    request_id: reply.request.id,
    ...(options.errors && { errors: options.errors }),
    ...options.extra
  }
  return reply
    .code(statusCode)
    .removeHeader('content-length')
    .type('application/problem+json')
    .header('cache-control', 'no-store')
    .send(JSON.stringify(document))
}

/** Converts any error to an ApiError. An unknown error becomes `internal_error`, with its cause kept for the log. */
export function apiErrorOf (error: Partial<FastifyError>): ApiError {
  if (error instanceof ApiError) return error
  if (error.validation !== undefined) {
    return error.validationContext === 'params'
      ? new ApiError('not_found', { cause: error })
      : new ApiError('validation_failed', {
        errors: meaningful(error.validation).slice(0, MAX_FIELD_ERRORS).map(fieldErrorOf),
        cause: error
      })
  }
  const code = frameworkCodes[error.code ?? '']
  if (code !== undefined) return new ApiError(code, { cause: error })
  if (isDamaged(error)) return databaseDamaged(error)
  if (isDatabaseFull(error)) {
    return new ApiError('database_unavailable', {
      detail: 'The disk of the database is full. Stored data can still be read.',
      cause: error,
      headers: { 'retry-after': '30' }
    })
  }
  if (isUnavailable(error)) {
    return new ApiError('database_unavailable', { cause: error, headers: { 'retry-after': '2' } })
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new ApiError(statusCodes[error.statusCode] ?? 'bad_request', { cause: error })
  }
  return new ApiError('internal_error', { cause: error })
}

/** Keywords whose failure a schema may describe by `x-message`. */
const HAS_MEANING = new Set(['pattern', 'format', 'anyOf'])

/** Removes the errors of the single alternatives if `x-message` describes the whole `anyOf`. */
function meaningful (errors: SchemaError[]): SchemaError[] {
  const said = new Set(
    errors
      .filter(({ keyword, parentSchema }) => keyword === 'anyOf' && parentSchema?.['x-message'] !== undefined)
      .map(({ instancePath }) => instancePath)
  )
  return said.size === 0
    ? errors
    : errors.filter(({ keyword, instancePath }) => keyword === 'anyOf' || !said.has(instancePath))
}

type SchemaError = NonNullable<FastifyError['validation']>[number] & { parentSchema?: { 'x-message'?: string } }

function fieldErrorOf (error: SchemaError): FieldError {
  const { path, message } = describeFault(error)
  return { path: path.slice(0, MAX_PATH_LENGTH), message }
}

function describeFault (error: SchemaError): FieldError {
  const { keyword, params, instancePath } = error
  const at = instancePath.split('/').slice(1)
  if (keyword === 'required') return { path: [...at, params.missingProperty].join('.'), message: 'is required' }
  if (keyword === 'additionalProperties') {
    return { path: [...at, params.additionalProperty].join('.'), message: 'is not a known field' }
  }
  if (keyword === 'enum') {
    return { path: at.join('.'), message: `must be one of ${(params.allowedValues as string[]).join(', ')}` }
  }
  const said = HAS_MEANING.has(keyword) ? error.parentSchema?.['x-message'] : undefined
  return { path: at.join('.'), message: said ?? error.message ?? 'is not valid' }
}

/**
 * Returns the server options that send problem documents for an invalid URL or invalid headers. Such requests reach no
 * route.
 */
export function unroutedErrors ({
  publicUrl
}: Pick<Config, 'publicUrl'>): Pick<FastifyServerOptions, 'frameworkErrors' | 'clientErrorHandler'> {
  return {
    frameworkErrors: (error, request, reply) =>
      sendProblem(reply.header('x-request-id', request.id), apiErrorOf(error), originOf(request, publicUrl)),
    clientErrorHandler: answerUnreadable
  }
}

/** Responds to bytes that are not a valid HTTP request, and closes the connection. */
export function answerUnreadable (error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const code: ProblemCode =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'headers_too_large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request_timeout'
        : 'bad_request'
  const { status, title, detail } = problems[code]
  const body = JSON.stringify({
    type: `/problems/${code}`,
    title,
    status,
    detail,
    instance: '/',
    code,
    request_id: randomUUID()
  })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\nContent-Length: ` +
      `${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  )
}

/** Records every route, so that a response with status 405 can list the allowed methods. */
function rememberRoutes (app: FastifyInstance): (path: string) => string[] {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>()
  app.addHook('onRoute', ({ url, method }) => {
    if (url === '*') return
    const source = url
      .replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/:\w+/g, '[^/]+')
      .replaceAll('*', '.*')
    const route = routes.get(url) ?? { pattern: new RegExp(`^${source}$`), methods: new Set<string>() }
    for (const one of [method].flat()) route.methods.add(one)
    routes.set(url, route)
  })
  return (path) =>
    [
      ...new Set(
        [...routes.values()].filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => [...methods])
      )
    ].sort()
}

declare module 'fastify' {
  interface FastifyReply {
    problem(error: ApiError): FastifyReply
  }
  interface FastifyInstance {
    answerUnknownRoute(request: FastifyRequest, reply: FastifyReply): FastifyReply
  }
}
