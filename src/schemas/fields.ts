import { Type, type Static, type TSchema } from '@sinclair/typebox'

/** The message that a response contains instead of a regular expression. */
const withMessage = (message: string) => ({ 'x-message': message })

/** Marks a field whose text is trimmed and normalized to NFC (Unicode normal form C) before validation. */
export const TIDIED = 'x-tidied'

const NO_CONTROLS = '^(?=[^]*\\S)[^\\p{Cc}\\p{Cs}]*$'
const NOT_BLANK = withMessage('must not be blank, nor contain control characters')

/** A secret: one line of text, stored and compared as sent. */
export const SecretText = (maxLength: number, options: object = {}) =>
  Type.String({ minLength: 1, maxLength, pattern: NO_CONTROLS, ...NOT_BLANK, ...options })

/** One line of text that is not blank, without control characters and lone surrogates. */
export const SingleLine = (maxLength: number, options: object = {}) =>
  SecretText(maxLength, { [TIDIED]: true, ...options })

/** Text of several lines. It may contain tabs and line breaks in addition to the characters of {@link SingleLine}. */
export const MultiLine = (maxLength: number, options: object = {}) =>
  Type.String({
    minLength: 1,
    maxLength,
    pattern: '^(?=[^]*\\S)(?:[^\\p{Cc}\\p{Cs}]|[\\t\\n\\r])*$',
    [TIDIED]: true,
    ...NOT_BLANK,
    ...options
  })

/** An absolute http or https URL. */
export const WebAddress = (options: object = {}) =>
  Type.String({ maxLength: 2048, format: 'web-address', [TIDIED]: true, ...options })

export const Uuid = (options: object = {}) => Type.String({ format: 'uuid', ...options })

export const IdParams = Type.Object({ id: Uuid() })

/** For routes that respond to a malformed id as to an unknown id. Without a token, the response is 401. */
export const AnyIdParams = Type.Object({ id: Type.String({ examples: ['019377a4-3f00-7000-8000-000000000000'] }) })

/** A response without a body. */
export const NoContent = (description: string) => Type.Null({ description })

/** A response with another status than 204, whose headers are all of it. */
export const OnlyHeaders = (description: string) => Type.Unsafe<undefined>({ type: 'null', description })

export const DateTime = (options: object = {}) =>
  Type.String({ format: 'date-time', description: 'ISO 8601, UTC', ...options })

/** A string from a fixed list. Generated clients and the handler get the list as a type. */
export const StringEnum = <const T extends readonly string[]>(values: T, options: object = {}) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values], ...options })

/** A value or null. Uses a list of types: for a union, the serializer tries each value against each schema. */
export const Nullable = <T extends TSchema & { type: string }>(schema: T) =>
  Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] })
