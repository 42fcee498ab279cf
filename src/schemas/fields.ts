import { Type, type Static, type TSchema } from '@sinclair/typebox'

/** A pattern's meaning for people, shown instead of the regular expression. */
const said = (meaning: string) => ({ 'x-message': meaning })

/** Marks a field whose text is trimmed and put into NFC (Unicode normal form C) before it is checked. */
export const TIDIED = 'x-tidied'

const NO_CONTROLS = '^(?=[^]*\\S)[^\\p{Cc}\\p{Cs}]*$'

/** A secret: one line of text, taken as it is. */
export const secretText = (maxLength: number, options: object = {}) =>
  Type.String({
    minLength: 1,
    maxLength,
    pattern: NO_CONTROLS,
    ...said('must not be blank, nor contain control characters'),
    ...options
  })

/** One line of text with something to read in it: no control characters, no lone surrogates. */
export const line = (maxLength: number, options: object = {}) => secretText(maxLength, { [TIDIED]: true, ...options })

/** Text of several lines: tabs and line breaks are allowed beside what {@link line} allows. */
export const paragraph = (maxLength: number, options: object = {}) =>
  Type.String({
    minLength: 1,
    maxLength,
    pattern: '^(?=[^]*\\S)(?:[^\\p{Cc}\\p{Cs}]|[\\t\\n\\r])*$',
    [TIDIED]: true,
    ...said('must not be blank, nor contain control characters'),
    ...options
  })

/** An absolute http or https address. */
export const webAddress = (options: object = {}) =>
  Type.String({
    maxLength: 2048,
    format: 'web-address',
    [TIDIED]: true,
    ...options
  })

export const uuid = (options: object = {}) => Type.String({ format: 'uuid', ...options })
export const moment = (options: object = {}) =>
  Type.String({ format: 'date-time', description: 'ISO 8601, UTC', ...options })

/**
 * A value, or null. As a list of types: for a union the serializer would hold each value against each of its schemas.
 */
export const nullable = <T extends TSchema & { type: string }>(schema: T) =>
  Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] })
