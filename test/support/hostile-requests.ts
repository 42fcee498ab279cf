import fc from 'fast-check'
import type { Description, Schema } from './operations.js'

// Requests drawn from what openapi.json says of an operation: mostly right, wrong in a few places.

const digits = '9'.repeat(400)
/* eslint-disable no-template-curly-in-string */
/** Strings that have broken parsers, databases, logs and pages. */
export const naughtyStrings = [
  '',
  ' ',
  '\t',
  '\0',
  'a\0b',
  '\r\nset-cookie: a=b',
  '\u0085',
  '\u2028',
  '\ufeff',
  '\ud800',
  '\udfff\ud800',
  '\u202eabc',
  'A\u030a\u0301\u0327',
  'ﬀİßſ',
  '٣',
  '０',
  '𝟘',
  '👩‍👩‍👧‍👦',
  '田中さん',
  'مرحبا',
  'z̷̢͎̥͔̹a̸͓͑l̶̛',
  '\u{10ffff}',
  'null',
  'undefined',
  'true',
  'NaN',
  'Infinity',
  '-0',
  '-1',
  '1e309',
  '0x10',
  '1_000',
  '9007199254740993',
  '-9223372036854775809',
  digits,
  '1.0000000000000001',
  '00',
  '+1',
  "' or 1=1 --",
  '"; drop table accounts; --',
  "\\'; select pg_sleep(10); --",
  '%',
  '_',
  '\\',
  '$1',
  '?',
  ':name',
  '/* */',
  '{{7*7}}',
  '${7*7}',
  '#{7*7}',
  '<%= 1 %>',
  '${jndi:ldap://127.0.0.1/a}',
  '$(sleep 10)',
  '`sleep 10`',
  '| cat /etc/passwd',
  '() { :; }; echo',
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  'javascript:alert(1)',
  'data:text/html,x',
  'file:///etc/passwd',
  '../../../etc/passwd',
  '..\\..\\win.ini',
  '%2e%2e%2f',
  '%00',
  '%ff',
  '%',
  '/dev/null',
  'CON',
  'aux.mp4',
  '.',
  '..',
  '~',
  'a/b',
  'a'.repeat(5000),
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  'length',
  '[object Object]',
  '{}',
  '[]',
  '{"a":1}',
  '-----BEGIN',
  'bearer',
  'admin',
  '*'
]
/* eslint-enable no-template-curly-in-string */
const naughty = fc.oneof(fc.constantFrom(...naughtyStrings), fc.string({ unit: 'binary', maxLength: 40 }))

/** Any JSON value, of whatever type. */
const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  naughty,
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    -0,
    1.5,
    2 ** 31,
    -(2 ** 31) - 1,
    2 ** 53,
    -(2 ** 63),
    1e308,
    5e-324,
    [],
    {},
    [[]],
    [null],
    { toString: null },
    { length: -1 },
    { $ne: null },
    { then: 1 }
  ),
  fc.array(naughty, { maxLength: 5 }),
  fc.dictionary(naughty, naughty, { maxKeys: 5 })
)

/** A value that a schema takes; `known` are ids that exist. */
function valueOf (schema: Schema, known: string[]): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => valueOf(one, known)))
  switch (schema.type) {
    case 'object':
      return objectOf(schema, known)
    case 'array':
      return fc.array(valueOf(schema.items!, known), { maxLength: 4 })
    case 'integer':
      return fc.oneof(
        fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 1000, 2 ** 31) }),
        fc.constantFrom(schema.minimum ?? 0, schema.maximum ?? 2 ** 53)
      )
    case 'number':
      return fc.double({ min: schema.minimum ?? 0, max: schema.maximum ?? 1e6, noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    default:
      return textOf(schema, known)
  }
}

function textOf ({ format, minLength = 1, maxLength = 50 }: Schema, known: string[]): fc.Arbitrary<string> {
  if (format === 'uuid') return fc.oneof(fc.constantFrom(...known), fc.uuid())
  if (format === 'email') return fc.emailAddress()
  if (format === 'date') {
    return fc
      .date({ min: new Date(0), max: new Date(2e12), noInvalidDate: true })
      .map((date) => date.toISOString().slice(0, 10))
  }
  if (format === 'web-address') return fc.webUrl()
  return fc.oneof(
    fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 100) }),
    fc.constantFrom(
      'x'.repeat(maxLength),
      '😀'.repeat(Math.ceil(maxLength / 2)),
      'secure_password123',
      'student',
      '+1234567890',
      ...known
    )
  )
}

const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 8, arbitrary: good }, { weight: 1, arbitrary: bad })

function objectOf ({ properties = {} }: Schema, known: string[]): fc.Arbitrary<Record<string, unknown>> {
  const fields = fc.record(
    Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => [name, mostly<unknown>(valueOf(schema, known), anyValue)])
    ),
    { requiredKeys: [] }
  )
  const whole = fc.record(
    Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => [name, mostly<unknown>(valueOf(schema, known), anyValue)])
    )
  )
  const added = fc.oneof(
    { weight: 6, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.dictionary(naughty, anyValue, { maxKeys: 3 }) }
  )
  return fc
    .tuple(fc.oneof({ weight: 3, arbitrary: whole }, { weight: 1, arbitrary: fields }), added)
    .map(([good, more]) => ({ ...good, ...more }))
}

/** What a header may be made of without being no header at all. */
const headerText = naughty.map((text) => text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '').trim())
const headers = fc.record(
  {
    range: fc.oneof(
      headerText,
      fc.constantFrom(
        'bytes=0-',
        'bytes=-1',
        'bytes=5-4',
        'bytes=0-0,1-1',
        `bytes=${digits}-`,
        'bytes=--1',
        'lines=1-2',
        'bytes=0-99999999999999999999'
      )
    ),
    'if-range': headerText,
    'if-none-match': fc.oneof(headerText, fc.constantFrom('*', '"a"', 'W/"a"')),
    'if-modified-since': fc.oneof(headerText, fc.constantFrom('Thu, 01 Jan 1970 00:00:00 GMT', '0', '-1')),
    accept: headerText,
    'accept-encoding': fc.constantFrom('gzip', 'br;q=0', '*', ''),
    'x-request-id': headerText,
    'x-forwarded-for': headerText,
    'x-forwarded-host': headerText,
    'x-forwarded-proto': headerText,
    'x-http-method-override': fc.constantFrom('DELETE', 'PATCH', 'TRACE'),
    host: headerText,
    origin: headerText,
    cookie: headerText,
    'user-agent': headerText,
    'repr-digest': headerText,
    'content-range': headerText,
    'content-encoding': fc.constantFrom('gzip', 'identity', 'br'),
    authorization: fc.oneof(
      headerText,
      fc.constantFrom('Bearer', 'Bearer x.y.z', 'Basic YTpi', 'bearer null', `Bearer ${'x'.repeat(20_000)}`)
    )
  },
  { requiredKeys: [] }
)
const fewHeaders = fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headers })
const contentTypes = fc.constantFrom(
  'application/json; charset=utf-16',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'multipart/form-data',
  'application/json, text/plain',
  ';',
  'APPLICATION/JSON',
  'application/json;;',
  'image/svg+xml',
  'a',
  'a'.repeat(500)
)

export interface HostileRequest {
  url: string
  headers: Record<string, string>
  body: unknown
  type: string | undefined
}

/**
 * Requests for one operation. `body` is text, or for a form an object of its fields, in which binary ones are bytes.
 */
export function requestsFor (
  path: string,
  { parameters = [], requestBody }: Description,
  known: string[]
): fc.Arbitrary<HostileRequest> {
  const at = fc.record(
    Object.fromEntries(
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name!, mostly(fc.constantFrom(...known), naughty)])
    )
  )
  const query = fc.record(
    Object.fromEntries(
      parameters
        .filter((one) => one.in === 'query')
        .map(({ name, schema }) => [name, mostly<unknown>(valueOf(schema, known), anyValue)])
    ),
    { requiredKeys: [] }
  )
  const moreQuery = fc.oneof(
    { weight: 5, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(
        fc.tuple(
          fc.oneof(naughty, fc.constantFrom('exp', 'sig', 'sub', 'kid', 'page', 'page[]', '__proto__')),
          naughty
        ),
        { maxLength: 4 }
      )
    }
  )
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) =>
    mostly<unknown>(valueOf(schema, known), anyValue).map((value) => ({ type, value }))
  )
  const body =
    bodies.length === 0
      ? mostly(
        fc.constant(undefined),
        anyValue.map((value) => ({ type: 'application/json', value }))
      )
      : fc.oneof(...bodies)
  return fc
    .record({
      at,
      query,
      moreQuery,
      headers: fewHeaders,
      body,
      contentType: mostly(fc.constant(undefined), contentTypes)
    })
    .map((drawn) => {
      const pairs = [...Object.entries(drawn.query), ...drawn.moreQuery].map(
        ([name, value]) => `${escaped(name)}=${escaped(typeof value === 'string' ? value : JSON.stringify(value))}`
      )
      const url =
        path.replaceAll(/\{(\w+)\}/g, (_, name: string) => escaped(drawn.at[name]!)) +
        (pairs.length > 0 ? `?${pairs.join('&')}` : '')
      const named = Object.fromEntries(
        Object.entries(drawn.headers).filter(([, value]) => value !== undefined)
      ) as Record<string, string>
      return { url, headers: named, body: drawn.body?.value, type: drawn.contentType ?? drawn.body?.type }
    })
}

/** Percent-encoded, lone surrogates too. */
export function escaped (text: string): string {
  return encodeURIComponent(text.replaceAll(/\p{Cs}/gu, '\ufffd')) || '%20'
}
