import { TypeGuard, type TSchema } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import fastJsonStringify from 'fast-json-stringify'
import type {
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
  RouteOptions,
  preValidationHookHandler
} from 'fastify'
import fp from 'fastify-plugin'
import { setImmediate } from 'node:timers/promises'
import { ApiError, invalidField } from '../src/errors.js'
import { isLinkQuery } from '../src/playback/link.js'
import { TIDIED } from '../src/schemas/fields.js'
import { addProblems } from '../src/schemas/problem.js'
import { apiErrorOf } from './errors.js'

/** As databases take it: the one of ajv-formats lets a `urn:uuid:` stand in front. */
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i

/** The errors of a body that no route expects. */
const UNEXPECTED_BODY_PROBLEMS = ['malformed_json', 'payload_too_large', 'unsupported_content_type'] as const
/** The errors of a body, before its route sees it. */
const BODY_PROBLEMS = [...UNEXPECTED_BODY_PROBLEMS, 'request_timeout', 'validation_failed'] as const

/**
 * How what comes in and goes out is compared with its schema, which is compiled when it is first met. Bodies are taken
 * at their word: `5` is no title. Query strings and paths are text: integers in them are read, if they are decimal
 * digits.
 */
export default fp(
  async (app) => {
    const ajv = new Ajv({ useDefaults: true, removeAdditional: false, allErrors: true, verbose: true, strict: false })
    addFormats.default(ajv, ['email', 'date', 'date-time', 'uuid', 'uri', 'uri-reference'])
    ajv.addFormat('web-address', isWebAddress).addFormat('uuid', UUID)
    const parseJson = app.getDefaultJsonParser('error', 'error')
    app.removeContentTypeParser(['application/json', 'text/plain'])
    app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
      // Clients name the type out of habit, also where there is nothing to send.
      const body = request.routeOptions.schema?.body as TSchema | undefined
      if (text === '' && (body === undefined || TypeGuard.IsOptional(body))) done(null)
      else parseJson(request, text, done)
    })
    const toCompile = new Set<() => object>()
    app.decorate('compileSchemas', async () => {
      for (const compile of toCompile) {
        compile()
        await setImmediate()
      }
    })
    app.addHook('onRequest', lowerCaseIds)
    app.addHook('onRoute', (route) => {
      const { form, checks = [], rawBody } = route.config ?? {}
      for (const schema of form === undefined ? checks : [form.fields, ...checks]) {
        toCompile.add(() => ajv.compile(schema))
      }
      if (route.schema?.body !== undefined) {
        route.preValidation = [requireContentType(route), ...[route.preValidation ?? []].flat()]
      }
      const hasBody = route.schema?.body !== undefined || form !== undefined || rawBody === true
      // A body is parsed, and may be refused, also where none is expected; Fastify ignores those of GET and HEAD.
      if (hasBody) route.schema = addProblems(route.schema, ...BODY_PROBLEMS)
      else if (['POST', 'DELETE'].includes(String(route.method))) {
        route.schema = addProblems(route.schema, ...UNEXPECTED_BODY_PROBLEMS)
      }
      if (route.schema?.querystring !== undefined) route.schema = addProblems(route.schema, 'validation_failed')
    })
    app.decorateRequest('checkInput', (schema: TSchema, value: unknown) => {
      const validate = ajv.compile(schema)
      textTidier(schema)(value)
      if (!validate(value)) throw apiErrorOf({ validation: validate.errors ?? [], validationContext: 'body' })
    })
    app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
      const validatorOf = once(() => ajv.compile(schema))
      toCompile.add(validatorOf)
      const readNumbers = httpPart === 'body' ? undefined : integerReader(schema)
      const tidy = textTidier(schema)
      return (value: unknown) => {
        readNumbers?.(value as Record<string, unknown>)
        tidy(value)
        const validate = validatorOf()
        return validate(value) ? true : { error: validate.errors as FastifySchemaValidationError[] }
      }
    })
    app.setSerializerCompiler<TSchema>(({ schema, httpStatus }) => {
      const serializerOf = once(() => fastJsonStringify(schema))
      // Problems are sent as text: see errors.ts.
      if (httpStatus?.startsWith('2')) toCompile.add(serializerOf)
      return (value) => serializerOf()(value)
    })
  },
  { name: 'validation' }
)

/**
 * An id is the same text on both engines and in every cache, in whatever case a client writes it. The id in a signed
 * link or token stays as it is: it is part of what is signed.
 */
function lowerCaseIds (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const params = request.params as Record<string, string>
  const isSigned = request.routeOptions.config.byLink === true && ('token' in params || isLinkQuery(request.rawQuery))
  for (const name in isSigned ? {} : params) {
    if (UUID.test(params[name]!)) params[name] = params[name]!.toLowerCase()
  }
  done()
}

/** Tidies the texts of a body, a form or a query string in place; see {@link TIDIED}. */
function textTidier ({ properties = {} }: TSchema): (values: unknown) => void {
  const names = Object.entries(properties as Record<string, TSchema>)
    .filter(([, schema]) => schema[TIDIED])
    .map(([name]) => name)
  return (values) => {
    if (typeof values !== 'object' || values === null) return
    const fields = values as Record<string, unknown>
    for (const name of names) {
      const value = fields[name]
      if (typeof value === 'string') fields[name] = value.normalize('NFC').trim()
    }
  }
}

const DECIMAL = /^-?\d+$/

/**
 * Reads the integers of a query string in place. Only decimal digits are one: `1e3`, `0x10` and ` 10` stay text, which
 * the schema refuses.
 */
function integerReader ({ properties = {} }: TSchema): (values: Record<string, unknown>) => void {
  const isInteger = ({ type, anyOf }: TSchema) =>
    type === 'integer' || anyOf?.some((one: TSchema) => one.type === 'integer')
  const names = Object.entries(properties as Record<string, TSchema>)
    .filter(([, schema]) => isInteger(schema))
    .map(([name]) => name)
  return (values) => {
    for (const name of names) {
      const value = values[name]
      if (typeof value === 'string' && DECIMAL.test(value)) values[name] = Number(value)
    }
  }
}

/**
 * What `make` makes, the first time that it is needed: to compile the schemas of all routes, and of all their answers,
 * is a third of a start.
 */
function once<T extends object> (make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

/**
 * Refuses a body in a form that the route doesn't name: a parser may know it from another route, and where a schema is
 * by content type, what it does not name would not be validated at all.
 */
function requireContentType ({ schema, config }: RouteOptions): preValidationHookHandler {
  const { content } = schema!.body as { content?: object }
  const taken = [
    ...Object.keys(content ?? { 'application/json': {} }),
    ...(config?.form === undefined ? [] : ['multipart/form-data'])
  ]
  return ({ headers }, _reply, done) => {
    const type = headers['content-type']?.split(';', 1)[0]!.trim().toLowerCase()
    if (type !== undefined && !taken.includes(type)) throw new ApiError('unsupported_content_type')
    if (type === undefined && content !== undefined) throw invalidField('', 'a body is required')
    done()
  }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The schemas that the handler passes to `checkInput`. */
    checks?: readonly TSchema[]
    /** A link may open it: then the id in the path is part of what is signed. */
    byLink?: true
  }
  interface FastifyInstance {
    /**
     * Compiles what the first request of each route would compile: a schema at a time, so that requests are served
     * between.
     */
    compileSchemas(): Promise<void>
  }
  interface FastifyRequest {
    /**
     * Holds what came in another way than as a body against a schema; throws `validation_failed`, which names the
     * fields.
     */
    checkInput(schema: TSchema, value: unknown): void
  }
}

function isWebAddress (value: string): boolean {
  if (/[\p{Cc}\p{Cs}\s]/u.test(value) || !URL.canParse(value)) return false
  const { protocol, username, password } = new URL(value)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}
