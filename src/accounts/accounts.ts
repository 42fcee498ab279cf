import type { Kysely, Transaction } from 'kysely'
import { v7 as uuidv7, validate as isUuid } from 'uuid'
import { lockName } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError, invalidField } from '../errors.js'
import { confirmRefusal, RecordCache } from '../cache/record-cache.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import type { Clock } from '../time.js'
import {
  countAccount,
  findAccount,
  findAnyAccount,
  findOtherAdmin,
  findViewer,
  insertAccount,
  listAccounts,
  lockCredentials,
  updateAccount,
  type Credentials
} from './account-store.js'
import { checkPublisher } from './publisher.js'
import { checkPassword, type PasswordHasher } from './passwords.js'
import type { Account, Role, Viewer } from './schema.js'
import { deleteSessionsOf } from './session-store.js'

export interface NewAccount {
  email: string
  password: string
  role: Role
  firstName?: string
  lastName?: string
  dateOfBirth?: string
  mobileNumber?: string
}

interface AccountsOptions {
  db: Kysely<Database>
  passwords: PasswordHasher
  clock: Clock
  signupOpen: boolean
  /** Outside production the first account signed up is the admin. */
  firstIsAdmin: boolean
}

/** Adds to the transaction of a new account. */
type Attach = (trx: Transaction<Database>, made: Credentials) => Promise<void>

interface InsertOptions {
  adminIfFirst?: boolean
  attach?: Attach
}

export type Accounts = ReturnType<typeof createAccounts>

/** Who there is. How they come in is in sessions.ts. */
export function createAccounts ({ db, passwords, clock, signupOpen, firstIsAdmin }: AccountsOptions) {
  const facts = new RecordCache<Viewer>((id) => findViewer(db, id), clock)

  async function insert (fresh: NewAccount, address: string, options: InsertOptions = {}): Promise<Account> {
    checkPassword(fresh.password)
    if (fresh.dateOfBirth !== undefined) checkDateOfBirth(fresh.dateOfBirth, clock.now())
    const passwordHash = await passwords.hash(fresh.password, address)
    const account: Account = {
      id: uuidv7(),
      email: fresh.email,
      role: fresh.role,
      firstName: fresh.firstName?.trim() ?? null,
      lastName: fresh.lastName?.trim() ?? null,
      dateOfBirth: fresh.dateOfBirth ?? null,
      mobileNumber: fresh.mobileNumber ?? null,
      disabled: false,
      createdAt: clock.now()
    }
    await db.transaction().execute(async (trx) => {
      if (options.adminIfFirst === true && !(await findAnyAccount(trx))) {
        await lockName(trx, 'first account')
        if (!(await findAnyAccount(trx))) account.role = 'admin'
      }
      await insertAccount(trx, account, passwordHash)
      await options.attach?.(trx, { account, passwordHash })
      await countAccount(trx)
    })
    return account
  }

  return {
    /**
     * Creates an account for a client at `address`; `attach` adds to the transaction what belongs with it. **Throws**
     * `signup_closed`, `validation_failed`, `email_taken`, `mobile_number_taken`, `overloaded`.
     */
    async signUp (fresh: NewAccount, address: string, attach?: Attach): Promise<Account> {
      if (!signupOpen) throw new ApiError('signup_closed')
      return await insert(fresh, address, { adminIfFirst: firstIsAdmin, attach })
    },

    /** Creates an account for an administrator, of any role. **Throws** as {@link signUp}, except `signup_closed`. */
    create: (fresh: NewAccount, address: string): Promise<Account> => insert(fresh, address),

    /** The account as it is now, or undefined; also for an id that is not well formed. */
    find: async (id: string): Promise<Account | undefined> =>
      isUuid(id) ? await findAccount(db, id.toLowerCase()) : undefined,

    async list (part: string | undefined, page: PageQuery): Promise<Page<Account>> {
      const { items, total } = await listAccounts(db, part, page)
      return pageOf(items, total, page)
    },

    /**
     * Gives an account another role, disables it (which ends its sessions for good) or lets it in again. Throws
     * `not_found`, and `last_admin` where nobody would be left who may do this.
     */
    async change (id: string, change: { role?: Role; disabled?: boolean }): Promise<Account> {
      const changed = await db.transaction().execute(async (trx) => {
        // Two administrators who demote one another at once must not both succeed.
        await lockName(trx, 'administrators')
        const before = (await lockCredentials(trx, id))?.account
        if (before === undefined) throw new ApiError('not_found')
        const after = { ...before, ...change }
        const loses = before.role === 'admin' && !before.disabled && (after.role !== 'admin' || after.disabled)
        if (loses && !(await findOtherAdmin(trx, id))) throw new ApiError('last_admin')
        await updateAccount(trx, id, change)
        if (after.disabled) await deleteSessionsOf(trx, id)
        return after
      })
      facts.forget(id)
      return changed
    },

    /**
     * Throws `invalid_token` for an account that may not act any more, `role_required` for one that may not publish:
     * asked while its upload comes.
     */
    requirePublisher: (id: string): Promise<void> =>
      confirmRefusal(async (since) => checkPublisher(await facts.get(id, since))),

    /** Id and role of an account that may act, at most a second old; undefined if it is gone or disabled. */
    viewer: (id: string, since?: number): Promise<Viewer | undefined> => facts.get(id, since)
  }
}

function checkDateOfBirth (date: string, now: number): void {
  const born = Date.parse(date)
  if (born < Date.UTC(1900, 0, 1)) throw invalidField('date_of_birth', 'must not be before 1900')
  if (born > now) throw invalidField('date_of_birth', 'must not be in the future')
}
