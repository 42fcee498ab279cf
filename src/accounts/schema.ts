import { Type, type Static } from '@sinclair/typebox'
import { DateTime, Nullable, SecretText, SingleLine, StringEnum, TIDIED, Uuid } from '../schemas/fields.js'
import { isoTime } from '../time.js'
import type { Scope } from './scopes.js'

export const roles = ['admin', 'instructor', 'student'] as const
export type Role = (typeof roles)[number]
/** The roles that may upload media. */
export const publisherRoles = ['admin', 'instructor'] as const satisfies Role[]

/** An account without its password hash, which never leaves the store. */
export interface Account {
  id: string
  email: string
  role: Role
  firstName: string | null
  lastName: string | null
  dateOfBirth: string | null
  mobileNumber: string | null
  disabled: boolean
  createdAt: number
}

/** The fields of an account that every request needs. `scopes` limits a caller with an API key. */
export type Viewer = Pick<Account, 'id' | 'role'> & { scopes?: readonly Scope[] }

export const Email = Type.String({
  [TIDIED]: true,
  format: 'email',
  'x-message': 'must be an email address',
  maxLength: 256,
  description: 'Compared case-insensitively.',
  examples: ['ada@example.org']
})
export const Password = SecretText(72, {
  minLength: 8,
  description: 'At least 8 characters and at most 72 bytes, not one of the 1,000 commonest passwords.',
  examples: ['secure_password123']
})
const Role = StringEnum(roles)

export const SignupBody = Type.Object({ email: Email, password: Password }, { additionalProperties: false })
export const NewAccountBody = Type.Object(
  { email: Email, password: Password, role: Role },
  { additionalProperties: false }
)
export const AccountPatch = Type.Object(
  { role: Type.Optional(Role), disabled: Type.Optional(Type.Boolean()) },
  { additionalProperties: false }
)
export const RegisterBody = Type.Object(
  {
    first_name: SingleLine(100, { examples: ['Ada'] }),
    last_name: SingleLine(100, { examples: ['Lovelace'] }),
    email: Email,
    password: Password,
    date_of_birth: Type.String({
      format: 'date',
      description: 'Not before 1900, nor in the future.',
      examples: ['1990-01-01']
    }),
    mobile_number: Type.String({
      pattern: '^\\+?[0-9]{10,15}$',
      'x-message': 'must be 10 to 15 digits, with an optional +',
      examples: ['+1234567890']
    }),
    role: Type.String({
      pattern: '^([iI][nN][sS][tT][rR][uU][cC][tT][oO][rR]|[sS][tT][uU][dD][eE][nN][tT])$',
      'x-message': 'must be instructor or student',
      examples: ['student']
    })
  },
  { additionalProperties: false }
)

const accountFields = {
  id: Uuid(),
  email: Type.String(),
  role: Role,
  created_at: DateTime()
}
const nameFields = {
  first_name: Nullable(Type.String()),
  last_name: Nullable(Type.String())
}
const tokenFields = {
  access_token: Type.String({ description: 'Send it as `Authorization: Bearer …`.' }),
  token: Type.String({ description: 'The same token, under the name that older clients read.' }),
  token_type: Type.Literal('bearer'),
  expires_in: Type.Integer({ description: 'Seconds.' }),
  refresh_token: Type.String({ description: 'Valid once, for `POST /auth/refresh`.' })
}
export const AccountReply = Type.Object({
  ...accountFields,
  ...nameFields,
  date_of_birth: Nullable(Type.String()),
  mobile_number: Nullable(Type.String()),
  disabled: Type.Boolean()
})
export const SignedUpReply = Type.Object({ ...accountFields, ...tokenFields })
export const RegisteredReply = Type.Object({ ...accountFields, ...nameFields, ...tokenFields })
export const GrantReply = Type.Object(tokenFields)
export const LoggedInReply = Type.Object({
  ...tokenFields,
  id: Uuid(),
  email: Type.String(),
  role: Role,
  ...nameFields
})

export function accountReply (account: Account): Static<typeof AccountReply> {
  return {
    id: account.id,
    email: account.email,
    role: account.role,
    created_at: isoTime(account.createdAt),
    first_name: account.firstName,
    last_name: account.lastName,
    date_of_birth: account.dateOfBirth,
    mobile_number: account.mobileNumber,
    disabled: account.disabled
  }
}
