import { Type, type Static } from '@sinclair/typebox'
import { DateTime, Nullable, SingleLine, StringEnum, Uuid } from '../schemas/fields.js'
import { isoTime } from '../time.js'
import { prefixOf } from './api-key-text.js'
import { scopes, type Scope } from './scopes.js'

/** An API key without its secret, which only the response that creates the key contains. */
export interface ApiKey {
  id: string
  accountId: string
  name: string
  scopes: Scope[]
  /** Addresses and CIDRs from which the key is accepted. Empty: from everywhere. */
  addresses: string[]
  createdAt: number
  /** Null: never. */
  expiresAt: number | null
  lastUsedAt: number | null
}

const MAX_ADDRESSES = 20

const Name = SingleLine(100, { description: 'The program that uses the key.', examples: ['Nightly import'] })
const ScopeSchema = StringEnum(scopes)

export const ApiKeyBody = Type.Object(
  {
    name: Name,
    scopes: Type.Array(ScopeSchema, {
      minItems: 1,
      uniqueItems: true,
      description: 'What the key may do, within what the role of its account allows at that time.',
      examples: [['uploads', 'links']]
    }),
    expires_in_days: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 365, description: 'Without it, the key does not expire.', examples: [90] })
    ),
    addresses: Type.Optional(
      Type.Array(Type.String({ format: 'address-or-cidr', 'x-message': 'must be an IP address or a CIDR' }), {
        maxItems: MAX_ADDRESSES,
        description: 'The addresses and networks from which the key is accepted; by default from everywhere.',
        examples: [['192.0.2.0/24', '2001:db8::/32']]
      })
    )
  },
  { additionalProperties: false }
)
export const ApiKeyPatch = Type.Object({ name: Name }, { additionalProperties: false })

export const ApiKeyReply = Type.Object({
  id: Uuid(),
  account_id: Uuid(),
  name: Type.String(),
  prefix: Type.String({
    description: 'The start of the key, up to its secret part.',
    examples: ['pgk_019377a43f0070008000000000000000']
  }),
  scopes: Type.Array(ScopeSchema),
  addresses: Type.Array(Type.String()),
  created_at: DateTime(),
  expires_at: Nullable(DateTime()),
  last_used_at: Nullable(DateTime({ description: 'At most a minute older than the last use.' }))
})
export const NewApiKeyReply = Type.Object({
  key: Type.String({
    description: 'Send it as `Authorization: Bearer …`. It is shown once: the server stores only its hash.',
    examples: ['pgk_019377a43f0070008000000000000000_…']
  }),
  ...ApiKeyReply.properties
})

export function apiKeyReply (key: ApiKey): Static<typeof ApiKeyReply> {
  return {
    id: key.id,
    account_id: key.accountId,
    name: key.name,
    prefix: prefixOf(key.id),
    scopes: key.scopes,
    addresses: key.addresses,
    created_at: isoTime(key.createdAt),
    expires_at: key.expiresAt === null ? null : isoTime(key.expiresAt),
    last_used_at: key.lastUsedAt === null ? null : isoTime(key.lastUsedAt)
  }
}
