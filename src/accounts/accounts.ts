import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import { lockName } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError, invalidField } from '../errors.js'
import { createFactsCache } from '../facts-cache.js'
import type { Clock } from '../time.js'
import { findAccount, findAnyAccount, findCredentials, insertAccount } from './account-store.js'
import { checkPassword, type PasswordHasher } from './passwords.js'
import type { Account, Role, Viewer } from './schema.js'

export interface NewAccount {
  email: string
  password: string
  role: Role
  firstName?: string
  lastName?: string
  dateOfBirth?: string
  mobileNumber?: string
}

/** Counts failed logins of an account: `reserve` throws 429 when there were too many, `giveBack` forgets one that was right. */
export interface FailedLogins {
  reserve (email: string): Promise<() => void>
}

interface AccountsOptions {
  db: Kysely<Database>
  passwords: PasswordHasher
  failedLogins: FailedLogins
  now: Clock
  signupOpen: boolean
  /** Outside production the first account signed up is the admin. */
  firstIsAdmin: boolean
}

export type Accounts = ReturnType<typeof createAccounts>

/** Who there is, and who somebody is. */
export function createAccounts ({ db, passwords, failedLogins, now, signupOpen, firstIsAdmin }: AccountsOptions) {
  const facts = createFactsCache<Viewer>(async (id) => {
    const account = await findAccount(db, id)
    return account && !account.disabled ? { id: account.id, role: account.role } : undefined
  })

  async function insert (fresh: NewAccount, adminIfFirst: boolean): Promise<Account> {
    checkPassword(fresh.password)
    if (fresh.dateOfBirth !== undefined) checkDateOfBirth(fresh.dateOfBirth, now())
    const passwordHash = await passwords.hash(fresh.password)
    const account: Account = {
      id: uuidv7(),
      email: fresh.email,
      role: fresh.role,
      firstName: fresh.firstName?.trim() ?? null,
      lastName: fresh.lastName?.trim() ?? null,
      dateOfBirth: fresh.dateOfBirth ?? null,
      mobileNumber: fresh.mobileNumber ?? null,
      disabled: false,
      createdAt: now()
    }
    await db.transaction().execute(async (trx) => {
      if (adminIfFirst && !await findAnyAccount(trx)) {
        await lockName(trx, 'first account')
        if (!await findAnyAccount(trx)) account.role = 'admin'
      }
      await insertAccount(trx, account, passwordHash)
    })
    return account
  }

  return {
    /** Makes an account for whoever asks. Throws `signup_closed`, `validation_failed`, `email_taken`, `mobile_number_taken`, `overloaded`. */
    async signUp (fresh: NewAccount): Promise<Account> {
      if (!signupOpen) throw new ApiError('signup_closed')
      return await insert(fresh, firstIsAdmin)
    },

    /** Makes an account as an administrator does, of any role. Throws as {@link signUp} does, but for `signup_closed`. */
    create: (fresh: NewAccount): Promise<Account> => insert(fresh, false),

    /**
     * The account of an email and its password. `invalid_credentials` for anything wrong, after the same time whether the
     * email exists or not; `account_disabled` only after the right password; 429 after too many failures of that email.
     */
    async logIn (email: string, password: string): Promise<Account> {
      const giveBack = await failedLogins.reserve(email.toLowerCase())
      let wrong = false
      try {
        const found = await findCredentials(db, email)
        wrong = !await passwords.matches(password, found?.passwordHash) || found === undefined
        if (wrong || found === undefined) throw new ApiError('invalid_credentials')
        if (found.account.disabled) throw new ApiError('account_disabled')
        return found.account
      } finally {
        // A database that is away, or a full queue, is nobody's wrong guess.
        if (!wrong) giveBack()
      }
    },

    /** The account as it is now, or undefined. */
    find: (id: string): Promise<Account | undefined> => findAccount(db, id),

    /** Id and role of an account that may act, at most a second old; undefined if it is gone or disabled. */
    viewer: (id: string): Promise<Viewer | undefined> => facts.get(id)
  }
}

function checkDateOfBirth (date: string, now: number): void {
  const born = Date.parse(date)
  if (born < Date.UTC(1900, 0, 1)) throw invalidField('date_of_birth', 'must not be before 1900')
  if (born > now) throw invalidField('date_of_birth', 'must not be in the future')
}
