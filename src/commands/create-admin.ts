import { createAccounts } from '../accounts/accounts.js'
import { createPasswordHasher } from '../accounts/passwords.js'
import { UsageError, type Command } from './command.js'

export const createAdmin: Command = {
  summary: 'make an administrator',
  usage: 'create-admin <email>   (the password is asked for, or read from standard input)',
  async run ({ db, operands: [email], readSecret }) {
    if (email === undefined || !/^[^\s@]+@[^\s@]+$/.test(email)) throw new UsageError('create-admin needs an email')
    const password = await readSecret(`Password for ${email}: `)
    if (password.length < 8) throw new UsageError('a password needs 8 characters at least')
    const passwords = createPasswordHasher()
    try {
      const accounts = createAccounts({ db, passwords, now: Date.now, failedLogins: { reserve: async () => () => {} }, signupOpen: false, firstIsAdmin: false })
      const { id } = await accounts.create({ email, password, role: 'admin' })
      return { ok: true, report: { id, email, role: 'admin' }, lines: [`${email} is an administrator now.`] }
    } finally {
      await passwords.close()
    }
  }
}
