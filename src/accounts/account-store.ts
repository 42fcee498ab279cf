import { sql, type Kysely, type Selectable, type Transaction } from 'kysely'
import { addToCounters, findCounter } from '../database/counters.js'
import { engineOf, uniqueViolation } from '../database/dialect.js'
import { fold } from '../database/fold.js'
import { contains, isWithin, placeOf, search, type Place, type Section } from '../database/search.js'
import type { AccountsTable, Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { offsetOf, type PageQuery } from '../schemas/pagination.js'
import type { Account, Role, Viewer } from './schema.js'

/** An account with its password hash, for password checks. */
export interface Credentials {
  account: Account
  passwordHash: string
}

const ACCOUNTS = 'accounts'

/** Adds one to the number of accounts. Must be the last statement of the transaction that creates an account. */
export const countAccount = (trx: Transaction<Database>): Promise<void> => addToCounters(trx, new Map([[ACCOUNTS, 1]]))

/** Inserts an account. **Throws** `email_taken` or `mobile_number_taken`. */
export async function insertAccount (
  trx: Transaction<Database>,
  account: Account,
  passwordHash: string
): Promise<void> {
  try {
    await trx
      .insertInto('accounts')
      .values({
        id: account.id,
        email: account.email,
        email_key: emailKey(account.email),
        password_hash: passwordHash,
        role: account.role,
        first_name: account.firstName,
        last_name: account.lastName,
        date_of_birth: account.dateOfBirth,
        mobile_number: account.mobileNumber,
        search_text: fold(`${account.email} ${account.firstName ?? ''} ${account.lastName ?? ''}`),
        disabled: account.disabled ? 1 : 0,
        created_at: account.createdAt
      })
      .execute()
  } catch (error) {
    const constraint = uniqueViolation(error)
    if (constraint === undefined) throw error
    throw new ApiError(constraint.includes('mobile') ? 'mobile_number_taken' : 'email_taken', { cause: error })
  }
}

export async function findAccount (db: Kysely<Database>, id: string): Promise<Account | undefined> {
  const row = await db.selectFrom('accounts').selectAll().where('id', '=', id).executeTakeFirst()
  return row && accountOf(row)
}

/** Returns id and role of an enabled account; undefined if it is deleted or disabled. */
export async function findViewer (db: Kysely<Database>, id: string): Promise<Viewer | undefined> {
  return await db
    .selectFrom('accounts')
    .select(['id', 'role'])
    .where('id', '=', id)
    .where('disabled', '=', 0)
    .executeTakeFirst()
}

export async function findCredentials (db: Kysely<Database>, email: string): Promise<Credentials | undefined> {
  const row = await db.selectFrom('accounts').selectAll().where('email_key', '=', emailKey(email)).executeTakeFirst()
  return row && { account: accountOf(row), passwordHash: row.password_hash }
}

/** Returns an account and its hash, and locks its row until the transaction ends. */
export async function lockCredentials (trx: Transaction<Database>, id: string): Promise<Credentials | undefined> {
  const row = await trx
    .selectFrom('accounts')
    .selectAll()
    .where('id', '=', id)
    .$if(engineOf(trx) === 'postgres', (query) => query.forUpdate())
    .executeTakeFirst()
  return row && { account: accountOf(row), passwordHash: row.password_hash }
}

/** Returns a page of accounts, newest first, and the total. `part` matches a part of an email or a name in any case. */
export async function listAccounts (
  db: Kysely<Database>,
  part: string | undefined,
  page: PageQuery
): Promise<{ items: Account[]; total: number }> {
  const offset = offsetOf(page)
  if (part === undefined) {
    const rows = await accountPage(db, page.size, offset).execute()
    return { items: rows.map(accountOf), total: await findCounter(db, ACCOUNTS) }
  }
  const found = await search({
    findEnd: async (after, rows) => placeOf(await accountSearchEnd(db, after, rows).executeTakeFirst()),
    findMatches: async (section) => (await accountMatches(db, part, section).execute()).map(({ id }) => id)
  })
  const ids = found.slice(offset, offset + page.size)
  const rows = ids.length === 0 ? [] : await db.selectFrom('accounts').selectAll().where('id', 'in', ids).execute()
  const byId = new Map(rows.map((row) => [row.id, accountOf(row)]))
  return { items: ids.flatMap((id) => byId.get(id) ?? []), total: found.length }
}

export function accountPage (db: Kysely<Database>, size: number, offset: number) {
  const ids = db
    .selectFrom('accounts')
    .select(['id', 'created_at'])
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(size)
    .offset(offset)
  return db
    .selectFrom(ids.as('page'))
    .innerJoin('accounts', 'accounts.id', 'page.id')
    .selectAll('accounts')
    .orderBy('page.created_at', 'desc')
    .orderBy('page.id', 'desc')
}

export function accountSearchEnd (db: Kysely<Database>, after: Place | undefined, rows: number) {
  return db
    .selectFrom('accounts')
    .select(['id', 'created_at'])
    .where(isWithin({ after }))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .offset(rows - 1)
}

export function accountMatches (db: Kysely<Database>, part: string, section: Section) {
  const names = sql`coalesce(first_name, '') || ' ' || coalesce(last_name, '')`
  const text = sql<string>`coalesce(search_text, lower(email || ' ' || ${names}))`
  return db
    .selectFrom('accounts')
    .select('id')
    .where(isWithin(section))
    .where(contains(text, part))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
}

export async function updateAccount (
  trx: Transaction<Database>,
  id: string,
  { role, disabled }: { role?: Role; disabled?: boolean }
): Promise<void> {
  if (role === undefined && disabled === undefined) return
  await trx
    .updateTable('accounts')
    .set({ ...(role !== undefined && { role }), ...(disabled !== undefined && { disabled: disabled ? 1 : 0 }) })
    .where('id', '=', id)
    .execute()
}

export async function updatePassword (trx: Transaction<Database>, id: string, passwordHash: string): Promise<void> {
  await trx.updateTable('accounts').set({ password_hash: passwordHash }).where('id', '=', id).execute()
}

/** Returns true if an enabled administrator other than `id` exists. */
export async function findOtherAdmin (trx: Transaction<Database>, id: string): Promise<boolean> {
  return (
    (await trx
      .selectFrom('accounts')
      .select('id')
      .where('role', '=', 'admin')
      .where('disabled', '=', 0)
      .where('id', '<>', id)
      .limit(1)
      .executeTakeFirst()) !== undefined
  )
}

export async function findAnyAccount (db: Kysely<Database>): Promise<boolean> {
  return (await db.selectFrom('accounts').select('id').limit(1).executeTakeFirst()) !== undefined
}

function emailKey (email: string): string {
  return email.toLowerCase()
}

function accountOf (row: Selectable<AccountsTable>): Account {
  return {
    id: row.id,
    email: row.email,
    role: row.role,
    firstName: row.first_name,
    lastName: row.last_name,
    dateOfBirth: row.date_of_birth,
    mobileNumber: row.mobile_number,
    disabled: row.disabled === 1,
    createdAt: row.created_at
  }
}
