interface Schema {
  type?: unknown
  format?: unknown
  enum?: unknown[]
  const?: unknown
  default?: unknown
  examples?: unknown[]
  minimum?: number
  items?: Schema
  properties?: Record<string, Schema>
  anyOf?: Schema[]
}

/** Realistic examples by field name. */
const BY_NAME: Record<string, unknown> = {
  category: 'Computing',
  current_password: 'secure_password123',
  date_of_birth: '1990-01-01',
  description: 'From source to machine.',
  email: 'ada@example.org',
  file_url: 'https://cdn.example.org/talk.mp4',
  first_name: 'Ada',
  last_name: 'Lovelace',
  lectures_data:
    '[{"title":"Parsing","description":"Tokens to trees","category":"Computing","subcategory":"Languages"}]',
  mobile_number: '+1234567890',
  new_password: 'another_password456',
  password: 'secure_password123',
  refresh_token: '019377a4-3f00-7000-8000-000000000000.m4v1Qe4Yb8Ww1KqZr6Ns0Lm3Hx7Jd2Cf5Pg',
  subcategory: 'Languages',
  title: 'Compilers',
  username: 'ada@example.org'
}
const BY_FORMAT: Record<string, unknown> = {
  binary: '(the bytes of the file)',
  date: '1990-01-01',
  'date-time': '2026-11-30T12:00:00.000Z',
  email: 'ada@example.org',
  uri: 'https://cdn.example.org/talk.mp4',
  uuid: '019377a4-3f00-7000-8000-000000000000'
}

/** Returns an example of a body that matches a schema, for the API description. */
export function exampleOf (schema: Schema, name = ''): unknown {
  if (schema.examples?.[0] !== undefined) return schema.examples[0]
  if (schema.const !== undefined) return schema.const
  if (schema.properties !== undefined) {
    return Object.fromEntries(
      Object.entries(schema.properties).map(([key, property]) => [key, exampleOf(property, key)])
    )
  }
  if (Object.hasOwn(BY_NAME, name)) return BY_NAME[name]
  if (schema.default !== undefined) return schema.default
  if (schema.enum !== undefined) return schema.enum[0]
  if (schema.anyOf !== undefined) return exampleOf(schema.anyOf.find(({ type }) => type !== 'null') ?? {}, name)
  return exampleOfType(schema, name)
}

function exampleOfType (schema: Schema, name: string): unknown {
  if (schema.type === 'array') return schema.items === undefined ? [] : [exampleOf(schema.items, name)]
  if (schema.type === 'integer' || schema.type === 'number') return Math.max(1, schema.minimum ?? 1)
  if (schema.type === 'boolean') return true
  if (schema.type === 'object') return {}
  if (name === 'id' || name.endsWith('_id')) return BY_FORMAT.uuid
  return BY_FORMAT[String(schema.format)] ?? 'text'
}
