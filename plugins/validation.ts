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
import { isAddressOrCidr } from '../src/config/formats.js'
import { ApiError, invalidField } from '../src/errors.js'
import { isLinkQuery } from '../src/playback/link.js'
import { TIDIED } from '../src/schemas/fields.js'
import { addProblems } from '../src/schemas/problem.js'
import { apiErrorOf } from './errors.js'

/** The form of UUIDs that databases accept. The `uuid` format of ajv-formats also accepts the prefix `urn:uuid:`. */
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i

/** The errors of a body on a route that expects no body. */
const UNEXPECTED_BODY_PROBLEMS = ['malformed_json', 'payload_too_large', 'unsupported_content_type'] as const
/** The errors of a body that occur before its handler runs. */
const BODY_PROBLEMS = [...UNEXPECTED_BODY_PROBLEMS, 'request_timeout', 'validation_failed'] as const

/**
 * Validates requests and serializes responses by schema. A schema is compiled at its first use. Values in a body are
 * not converted: the number `5` is not a valid title. In query strings and paths, decimal digits are converted to
 * integers.
 */
export default fp(
  async (app) => {
    const ajv = createAjv()
    const parseJson = app.getDefaultJsonParser('error', 'error')
    app.removeContentTypeParser(['application/json', 'text/plain'])
    app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
      // Many clients send this content type even without a body.
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
      const hasBody = route.schema?.body !== undefined || form !== undefined || rawBody !== undefined
      // On a route without a body, Fastify parses a body too, and may refuse it; not for GET and HEAD.
      if (hasBody) route.schema = addProblems(route.schema, ...BODY_PROBLEMS)
      else if (['POST', 'DELETE', 'OPTIONS'].includes(String(route.method))) {
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
      // Problem documents are sent as text: see errors.ts.
      if (httpStatus?.startsWith('2')) toCompile.add(serializerOf)
      return (value) => serializerOf()(value)
    })
  },
  { name: 'validation' }
)

function createAjv (): Ajv {
  const ajv = new Ajv({ useDefaults: true, removeAdditional: false, allErrors: true, verbose: true, strict: false })
  addFormats.default(ajv, ['email', 'date', 'date-time', 'uuid', 'uri', 'uri-reference'])
  return ajv
    .addFormat('web-address', isWebAddress)
    .addFormat('uuid', UUID)
    .addFormat('address-or-cidr', (text: string) => isAddressOrCidr(text) && !text.includes('%'))
}

/**
 * Converts ids to lower case, so that an id is the same text on both engines and in every cache. The id in a signed
 * link or token stays unchanged, because it is part of the signed text.
 */
function lowerCaseIds (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const params = request.params as Record<string, string>
  const isSigned = request.routeOptions.config.byLink === true && ('token' in params || isLinkQuery(request.rawQuery))
  for (const name in isSigned ? {} : params) {
    if (UUID.test(params[name]!)) params[name] = params[name]!.toLowerCase()
  }
  done()
}

/** Returns a function that normalizes the texts of a body, a form or a query string in place; see {@link TIDIED}. */
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
 * Returns a function that converts the integers of a query string in place. It converts only decimal digits: `1e3`,
 * `0x10` and ` 10` stay text, which the schema refuses.
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
 * Returns a function that calls `make` once and keeps the result. Compiling the request and response schemas of all
 * routes takes a third of the start time.
 */
function once<T extends object> (make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

/**
 * Refuses a content type that the route does not name. A parser for it may exist because of another route. In a schema
 * by content type, a body of an unnamed type would not be validated.
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
    /** A link can authorize this route. The id in its path is then part of the signed text. */
    byLink?: true
  }
  interface FastifyInstance {
    /**
     * Compiles all schemas now instead of at their first use. Between two schemas, the event loop can serve requests.
     */
    compileSchemas(): Promise<void>
  }
  interface FastifyRequest {
    /**
     * Validates input that is not a JSON body, such as a form, against a schema. **Throws** `validation_failed`, which
     * names the fields.
     */
    checkInput(schema: TSchema, value: unknown): void
  }
}

function isWebAddress (value: string): boolean {
  if (/[\p{Cc}\p{Cs}\s]/u.test(value) || !URL.canParse(value)) return false
  const { protocol, username, password } = new URL(value)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}
