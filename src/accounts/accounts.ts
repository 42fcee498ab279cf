import type { Kysely, Transaction } from 'kysely'
import { v7 as uuidv7, validate as isUuid } from 'uuid'
import { advisoryLock } from '../database/dialect.js'
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
  /** If true, the first account that signs up becomes an administrator. Set only outside production. */
  firstIsAdmin: boolean
}

/** Runs in the transaction that creates an account. */
type Attach = (trx: Transaction<Database>, credentials: Credentials) => Promise<void>

interface InsertOptions {
  adminIfFirst?: boolean
  attach?: Attach
}

/** Accounts and their roles. Their sessions are in sessions.ts. */
export class Accounts {
  readonly #options: AccountsOptions
  readonly #viewers: RecordCache<Viewer>

  constructor (options: AccountsOptions) {
    const { db, clock } = options
    this.#options = options
    this.#viewers = new RecordCache((id) => findViewer(db, id), clock)
  }

  /**
   * Creates an account for a client at `address`; `attach` runs in the same transaction. **Throws** `signup_closed`,
   * `validation_failed`, `email_taken`, `mobile_number_taken`, `overloaded`.
   */
  async signUp (newAccount: NewAccount, address: string, attach?: Attach): Promise<Account> {
    const { signupOpen, firstIsAdmin } = this.#options
    if (!signupOpen) throw new ApiError('signup_closed')
    return await this.#insert(newAccount, address, { adminIfFirst: firstIsAdmin, attach })
  }

  /** Creates an account of any role. **Throws** the errors of {@link signUp}, except `signup_closed`. */
  create (newAccount: NewAccount, address: string): Promise<Account> {
    return this.#insert(newAccount, address)
  }

  /** Finds an account without the cache; undefined for a malformed id too. */
  async find (id: string): Promise<Account | undefined> {
    return isUuid(id) ? await findAccount(this.#options.db, id.toLowerCase()) : undefined
  }

  /** Lists accounts, newest first. With `part`, lists only accounts whose email or name contains it. */
  async list (part: string | undefined, page: PageQuery): Promise<Page<Account>> {
    const { items, total } = await listAccounts(this.#options.db, part, page)
    return pageOf(items, total, page)
  }

  /**
   * Changes the role of an account, disables it (which ends its sessions) or enables it. **Throws** `not_found`, and
   * `last_admin` if no enabled administrator would remain.
   */
  async change (id: string, change: { role?: Role; disabled?: boolean }): Promise<Account> {
    const changed = await this.#options.db.transaction().execute(async (trx) => {
      // Two administrators who demote each other at the same time must not both succeed.
      await advisoryLock(trx, 'administrators')
      const before = (await lockCredentials(trx, id))?.account
      if (before === undefined) throw new ApiError('not_found')
      const after = { ...before, ...change }
      const losesAdmin = isActiveAdmin(before) && !isActiveAdmin(after)
      if (losesAdmin && !(await findOtherAdmin(trx, id))) throw new ApiError('last_admin')
      await updateAccount(trx, id, change)
      if (after.disabled) await deleteSessionsOf(trx, id)
      return after
    })
    this.#viewers.invalidate(id)
    return changed
  }

  /**
   * Checks that an account may publish. Also called repeatedly during an upload. **Throws** `invalid_token` for a
   * disabled account, and `role_required`.
   */
  requirePublisher (id: string): Promise<void> {
    return confirmRefusal(async (since) => checkPublisher(await this.#viewers.get(id, since)))
  }

  /** Returns an enabled account, at most a second old; undefined if the account is disabled or does not exist. */
  viewer (id: string, since?: number): Promise<Viewer | undefined> {
    return this.#viewers.get(id, since)
  }

  async #insert (newAccount: NewAccount, address: string, options: InsertOptions = {}): Promise<Account> {
    const { db, passwords, clock } = this.#options
    const { password, dateOfBirth } = newAccount
    checkPassword(password)
    if (dateOfBirth !== undefined) checkDateOfBirth(dateOfBirth, clock.now())
    const passwordHash = await passwords.hash(password, address)
    const account = accountOf(newAccount, clock.now())
    await db.transaction().execute(async (trx) => {
      if (options.adminIfFirst === true && !(await findAnyAccount(trx))) {
        await advisoryLock(trx, 'first account')
        if (!(await findAnyAccount(trx))) account.role = 'admin'
      }
      await insertAccount(trx, account, passwordHash)
      await options.attach?.(trx, { account, passwordHash })
      await countAccount(trx)
    })
    return account
  }
}

function accountOf (newAccount: NewAccount, now: number): Account {
  return {
    id: uuidv7(),
    email: newAccount.email,
    role: newAccount.role,
    firstName: newAccount.firstName?.trim() ?? null,
    lastName: newAccount.lastName?.trim() ?? null,
    dateOfBirth: newAccount.dateOfBirth ?? null,
    mobileNumber: newAccount.mobileNumber ?? null,
    disabled: false,
    createdAt: now
  }
}

function isActiveAdmin ({ role, disabled }: Account): boolean {
  return role === 'admin' && !disabled
}

function checkDateOfBirth (date: string, now: number): void {
  const born = Date.parse(date)
  if (born < Date.UTC(1900, 0, 1)) throw invalidField('date_of_birth', 'must not be before 1900')
  if (born > now) throw invalidField('date_of_birth', 'must not be in the future')
}
