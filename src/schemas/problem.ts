import { Type, type TSchema } from '@sinclair/typebox'
import { problems, type ProblemCode } from '../errors.js'

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
    errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() })))
  },
  { title: 'Problem', description: 'RFC 9457', additionalProperties: true }
)

/** The error responses of a route, by status, with an example for each code, for its `response` schema. */
export function problemResponses (...codes: ProblemCode[]): Record<number, TSchema> {
  const responses: Record<number, TSchema> = {}
  for (const status of new Set(codes.map((code) => problems[code][0]))) {
    const same = codes.filter((code) => problems[code][0] === status)
    const examples = Object.fromEntries(
      same.map((code) => [code, { summary: problems[code][1], value: exampleOf(code) }])
    )
    responses[status] = {
      description: same.map((code) => problems[code][1]).join('; '),
      content: { 'application/problem+json': { schema: ProblemSchema, examples } }
    } as unknown as TSchema
  }
  return responses
}

function exampleOf (code: ProblemCode): object {
  const [status, title, detail] = problems[code]
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
