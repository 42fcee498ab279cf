import { exampleOf } from './api-examples.js'

interface Schema {
  [key: string]: unknown
  type?: unknown
  default?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  anyOf?: Schema[]
}
interface Content {
  schema?: Schema
  example?: unknown
  examples?: Record<string, unknown>
}
interface Response {
  description: string
  content?: Record<string, Content>
  headers?: object
}
interface Operation {
  summary?: string
  description?: string
  security?: object[]
  parameters?: Array<{ name: string; in: string; required?: boolean; schema?: Schema }>
  requestBody?: { required?: boolean; content: Record<string, Content> }
  responses: Record<string, Response>
}
export interface ApiDescription {
  components?: { schemas?: Record<string, unknown> }
  paths?: Record<string, Record<string, Operation>>
}

const DESCRIPTIONS: Record<string, string> = {
  200: 'The request succeeded.',
  201: 'Created.',
  202: 'Accepted: the work continues in the background.',
  204: 'Done. The response has no body.'
}
/**
 * Requires one visible character. Every regular expression engine supports it; the server checks the strict pattern.
 */
const PORTABLE_PATTERN = '\\S'

/**
 * Completes the descriptions of all routes in place. Adds one `Problem` component, the errors before a handler,
 * portable patterns and an example for every body. Fields with a default are not required. Returns the same object.
 */
export function completeDescription (description: ApiDescription): ApiDescription {
  for (const operations of Object.values(description.paths ?? {})) {
    for (const operation of Object.values(operations)) completeOperation(operation)
  }
  return description
}

function completeOperation (operation: Operation): void {
  operation.description ??= `${operation.summary ?? ''}.`
  for (const parameter of operation.parameters ?? []) {
    if (parameter.schema === undefined) continue
    simplify(parameter.schema)
    if (parameter.in !== 'path' && parameter.schema.default !== undefined) parameter.required = false
  }
  const { requestBody } = operation
  if (requestBody !== undefined) completeBody(requestBody)
  for (const [status, response] of Object.entries(operation.responses)) completeResponse(status, response)
}

/** Describes a body that may be null as an optional body. */
function completeBody (requestBody: NonNullable<Operation['requestBody']>): void {
  for (const content of Object.values(requestBody.content)) {
    if (content.schema === undefined) continue
    const alternatives = content.schema.anyOf?.filter(({ type }) => type !== 'null')
    if (alternatives !== undefined && alternatives.length < content.schema.anyOf!.length) {
      requestBody.required = false
      content.schema = alternatives.length === 1 ? alternatives[0]! : { ...content.schema, anyOf: alternatives }
    }
    simplify(content.schema)
    if (content.examples === undefined) content.example ??= exampleOf(content.schema)
  }
}

function completeResponse (status: string, response: Response): void {
  if (response.description === 'Default Response') response.description = DESCRIPTIONS[status] ?? 'The response.'
  for (const content of Object.values(response.content ?? {})) {
    if (content.schema !== undefined) simplify(content.schema)
  }
}

/** Simplifies a schema for client generators: portable patterns, and optional fields where a default exists. */
function simplify (schema: Schema): void {
  if (typeof schema.pattern === 'string' && /\\p\{|\[\^\]/.test(schema.pattern)) schema.pattern = PORTABLE_PATTERN
  if (schema.required !== undefined && schema.properties !== undefined) {
    schema.required = schema.required.filter((name) => schema.properties![name]?.default === undefined)
    if (schema.required.length === 0) delete schema.required
  }
  for (const value of Object.values(schema)) {
    for (const part of Array.isArray(value) ? value : [value]) {
      if (typeof part === 'object' && part !== null) simplify(part as Schema)
    }
  }
}
