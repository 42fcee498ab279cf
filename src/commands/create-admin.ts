import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { createAccounts } from '../accounts/accounts.js'
import { createPasswordHasher } from '../accounts/passwords.js'
import { SignupBody } from '../accounts/schema.js'
import { invalidField } from '../errors.js'
import { UsageError, type Command } from './command.js'

export const createAdmin: Command = {
  summary: 'make an administrator',
  usage: 'create-admin <email>   (the password is asked for, or read from standard input)',
  async run ({ db, operands: [email], readSecret }) {
    if (email === undefined) throw new UsageError('create-admin needs an email')
    const password = await readSecret(`Password for ${email}: `)
    checkAsSignup(email, password)
    const passwords = createPasswordHasher()
    try {
      const accounts = createAccounts({ db, passwords, now: Date.now, monotonicNow: () => performance.now(), signupOpen: false, firstIsAdmin: false })
      const { id } = await accounts.create({ email, password, role: 'admin' })
      return { ok: true, report: { id, email, role: 'admin' }, lines: [`${email} is an administrator now.`] }
    } finally {
      await passwords.close()
    }
  }
}

/** What signup would refuse is refused here too: an account that can't log in helps nobody. */
function checkAsSignup (email: string, password: string): void {
  const ajv = new Ajv({ strict: false, verbose: true })
  const isSignup = addFormats.default(ajv, ['email']).compile(SignupBody)
  if (isSignup({ email, password })) return
  const [{ instancePath, keyword, message, parentSchema } = {}] = isSignup.errors ?? []
  const own = keyword === 'pattern' ? (parentSchema as Record<string, string>)['x-message'] : undefined
  throw invalidField(instancePath?.slice(1) ?? '', own ?? message ?? 'is not valid')
}
