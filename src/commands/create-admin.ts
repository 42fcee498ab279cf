import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { Accounts } from '../accounts/accounts.js'
import { createPasswordHasher } from '../accounts/passwords.js'
import { findCredentials, updateAccount } from '../accounts/account-store.js'
import { SignupBody } from '../accounts/schema.js'
import { invalidField } from '../errors.js'
import { UsageError, type Command } from './command.js'
import { systemClock } from '../time.js'

const PASSWORD_RULE = 'at least 8 characters, at most 72 bytes, not a common password'

export const createAdmin: Command = {
  summary: 'create an administrator, or promote an account',
  usage:
    'create-admin [--promote] <email>   (prompts for the password, or reads it from standard input: ' +
    `${PASSWORD_RULE}; --promote: an existing account keeps its password)`,
  options: { promote: 'boolean' },
  async run ({ db, operands: [email], options, readSecret }) {
    if (email === undefined) throw new UsageError('create-admin needs an email')
    const found = await findCredentials(db, email)
    if (options.promote === true) {
      if (found === undefined) {
        throw new UsageError(`there is no account ${email}: run create-admin without --promote to create it`)
      }
      await db.transaction().execute((trx) => updateAccount(trx, found.account.id, { role: 'admin', disabled: false }))
      return {
        ok: true,
        report: { id: found.account.id, email, role: 'admin' },
        lines: [`${email} is an administrator now.`]
      }
    }
    if (found !== undefined) {
      throw invalidField(
        'email',
        'already has an account: run create-admin with --promote to make it an administrator'
      )
    }
    const password = await readSecret(`Password for ${email} (${PASSWORD_RULE}): `)
    checkAsSignup(email, password)
    const passwords = createPasswordHasher()
    try {
      const accounts = new Accounts({
        db,
        passwords,
        clock: systemClock,
        signupOpen: false,
        firstIsAdmin: false
      })
      const { id } = await accounts.create({ email, password, role: 'admin' }, 'create-admin')
      return { ok: true, report: { id, email, role: 'admin' }, lines: [`${email} is an administrator now.`] }
    } finally {
      await passwords.close()
    }
  }
}

/**
 * Validates by the rules of signup, because login rejects an account that breaks them. **Throws** `validation_failed`.
 */
function checkAsSignup (email: string, password: string): void {
  const ajv = new Ajv({ strict: false, verbose: true })
  const isSignup = addFormats.default(ajv, ['email']).compile(SignupBody)
  if (isSignup({ email, password })) return
  const [{ instancePath, keyword, message, parentSchema } = {}] = isSignup.errors ?? []
  const own =
    keyword === 'pattern' || keyword === 'format' ? (parentSchema as Record<string, string>)['x-message'] : undefined
  throw invalidField(instancePath?.slice(1) ?? '', own ?? message ?? 'is not valid')
}
