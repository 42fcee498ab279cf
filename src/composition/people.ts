import { AccessReview } from '../access/access-review.js'
import { Accounts } from '../accounts/accounts.js'
import { ApiKeys } from '../accounts/api-keys.js'
import { PasswordResets } from '../accounts/password-resets.js'
import { createPasswordHasher } from '../accounts/passwords.js'
import { Sessions } from '../accounts/sessions.js'
import { createLoginGuard } from '../limits/login-guard.js'
import type { Windows } from '../limits/windows.js'
import { SECOND } from '../time.js'
import type { Foundation } from './foundation.js'

/** How long a stream or an upload may outlive the right to it. */
const REVIEW_EVERY_MS = 3 * SECOND

export type People = ReturnType<typeof createPeople>

/** Accounts, their sessions and their API keys. */
export function createPeople (base: Foundation & { windows: Windows }) {
  const { config, db, clock, log, overrides } = base
  const passwords = createPasswordHasher(overrides.bcryptCost, { workers: overrides.hashWorkers })
  const accounts = new Accounts({
    db,
    passwords,
    clock,
    signupOpen: config.signupOpen,
    firstIsAdmin: config.environment !== 'production'
  })
  const sessions = new Sessions({
    db,
    accounts,
    passwords,
    clock,
    failedLogins: createLoginGuard(base.windows.failedLogins, clock, config.limitsPerMinute.login),
    accessSeconds: config.accessTokenSeconds,
    refreshSeconds: config.refreshTokenSeconds,
    onReuse: (id) => log.warn({ session_id: id }, 'ended a session: its refresh token was used twice')
  })
  const passwordResets = new PasswordResets({ db, clock, passwords, onSessionsEnded: () => sessions.invalidate() })
  const apiKeys = new ApiKeys({
    db,
    accounts,
    clock,
    onNoteFailed: (err) => log.warn({ err }, 'failed to store the time at which an API key was used')
  })
  const review = new AccessReview(overrides.reviewEveryMs ?? REVIEW_EVERY_MS)
  return { passwords, accounts, sessions, passwordResets, apiKeys, review }
}
