import { Type, type Static, type TSchema } from '@sinclair/typebox'

/**
 * The body of a route that accepts several content types. The type of the handler's body is the union of the schemas.
 */
export const BodyByContentType = <T extends Record<string, TSchema>>(schemas: T) =>
  Type.Unsafe<Static<T[keyof T]>>({
    content: Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]))
  })
