import { findCredentials } from '../accounts/account-store.js'
import { createResetLink } from '../accounts/password-resets.js'
import { isoTime, systemClock } from '../time.js'
import { UsageError, type Command } from './command.js'

export const resetPassword: Command = {
  summary: 'print a link by which a person sets a new password once, within 24 hours',
  usage: 'reset-password <email>   (the link starts with PUBLIC_URL, or with HOST and PORT)',
  async run ({ config, db, operands: [email, ...more] }) {
    if (email === undefined || more.length > 0) throw new UsageError('reset-password needs an email')
    const found = await findCredentials(db, email)
    if (found === undefined) throw new UsageError(`there is no account ${email}`)
    const origin = config.publicUrl ?? `http://${config.host}:${config.port}`
    const { url, expiresAt } = await createResetLink(db, found.account.id, { origin, now: systemClock.now() })
    return {
      ok: true,
      report: { id: found.account.id, email: found.account.email, reset_url: url, expires_at: isoTime(expiresAt) },
      lines: [url]
    }
  }
}
