import { Type, type TSchema } from '@sinclair/typebox'
import { problems, type ProblemCode } from './problem-codes.js'

/** The problem document of RFC 9457, with a stable `code` and, for invalid fields, `errors`. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ format: 'uri-reference' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String(),
    code: Type.String(),
    request_id: Type.String(),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          path: Type.String(),
          message: Type.String(),
          line: Type.Optional(Type.Integer({ description: 'The line in a text file, from 1.' })),
          column: Type.Optional(Type.Integer({ description: 'The column in a text file, from 1.' }))
        })
      )
    )
  },
  { $id: 'Problem', title: 'Problem', description: 'RFC 9457', additionalProperties: true }
)

const PROBLEM = 'application/problem+json'

/** The errors of a response that sends a file, or a range of it. */
export const FILE_PROBLEMS = [
  'precondition_failed',
  'range_not_satisfiable',
  'too_many_streams',
  'overloaded'
] as const

/** The errors of a signed link; see `Admissions.admitLink`. */
export const LINK_PROBLEMS = ['stream_link_invalid', 'stream_link_expired', 'stream_link_revoked'] as const

/** The errors of receiving a file; see `Intake.receive`. */
export const RECEIVE_PROBLEMS = [
  'upload_incomplete',
  'upload_too_large',
  'too_many_uploads',
  'overloaded',
  'shutting_down',
  'storage_unavailable',
  'storage_full'
] as const

/** The errors of publishing a file as a media; see `Intake.publish`. */
export const PUBLISH_PROBLEMS = [
  'quota_exceeded',
  'unsupported_media_format',
  'media_encrypted',
  'media_truncated',
  'media_too_complex'
] as const

interface ProblemResponse {
  description: string
  content: Record<string, { schema?: object; examples?: Record<string, { summary: string; value: object }> }>
}

/**
 * Returns the error responses of an operation by status, for its `response` schema. They contain an example for each
 * code.
 */
export function problemResponses (...codes: ProblemCode[]): Record<number, TSchema> {
  const responses: Record<number, ProblemResponse> = {}
  for (const code of codes) {
    const { status, title } = problems[code]
    const known = responses[status]?.content[PROBLEM]?.examples
    const examples = { ...known, [code]: { summary: title, value: exampleOf(code) } }
    responses[status] = {
      description: titlesOf(examples),
      content: { [PROBLEM]: { schema: { $ref: `${ProblemSchema.$id}#` }, examples } }
    }
  }
  return responses as unknown as Record<number, TSchema>
}

/**
 * Adds errors to the `response` schema of an operation, for plugins that refuse requests before its handler. An
 * operation without a schema is not described, so it stays unchanged.
 */
export function addProblems<T extends { response?: unknown }> (
  schema: T | undefined,
  ...codes: ProblemCode[]
): T | undefined {
  if (schema === undefined) return undefined
  const response = { ...(schema.response as Record<string, ProblemResponse> | undefined) }
  for (const [status, added] of Object.entries(
    problemResponses(...codes) as unknown as Record<string, ProblemResponse>
  )) {
    response[status] = merge(response[status], added)
  }
  return { ...schema, response }
}

/** Merges the errors of two responses with the same status. A response of another type keeps its description. */
function merge (own: ProblemResponse | undefined, added: ProblemResponse): ProblemResponse {
  if (own === undefined) return added
  const examples = { ...own.content[PROBLEM]?.examples, ...added.content[PROBLEM]!.examples }
  return {
    description: own.content[PROBLEM] === undefined ? own.description : titlesOf(examples),
    content: { ...own.content, [PROBLEM]: { ...added.content[PROBLEM], examples } }
  }
}

function titlesOf (examples: Record<string, { summary: string }>): string {
  return Object.values(examples)
    .map(({ summary }) => summary)
    .join('; ')
}

function exampleOf (code: ProblemCode): object {
  const { status, title, detail } = problems[code]
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail,
    instance: '/the/path',
    code,
    request_id: '019377a4-3f00-7000-8000-000000000000',
    ...(code === 'validation_failed' && {
      errors: [{ path: 'title', message: 'must not be blank, nor contain control characters' }]
    })
  }
}
