import type { Kysely, Selectable, Transaction } from 'kysely'
import { uniqueViolation } from '../database/dialect.js'
import type { AccountsTable, Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Account } from './schema.js'

/** The hash beside its account, for the one who checks passwords. */
export interface Credentials { account: Account, passwordHash: string }

/** Throws `email_taken` or `mobile_number_taken`. */
export async function insertAccount (trx: Transaction<Database>, account: Account, passwordHash: string): Promise<void> {
  try {
    await trx.insertInto('accounts').values({
      id: account.id,
      email: account.email,
      email_key: emailKey(account.email),
      password_hash: passwordHash,
      role: account.role,
      first_name: account.firstName,
      last_name: account.lastName,
      date_of_birth: account.dateOfBirth,
      mobile_number: account.mobileNumber,
      disabled: account.disabled ? 1 : 0,
      created_at: account.createdAt
    }).execute()
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

export async function findCredentials (db: Kysely<Database>, email: string): Promise<Credentials | undefined> {
  const row = await db.selectFrom('accounts').selectAll().where('email_key', '=', emailKey(email)).executeTakeFirst()
  return row && { account: accountOf(row), passwordHash: row.password_hash }
}

export async function findAnyAccount (db: Kysely<Database>): Promise<boolean> {
  return await db.selectFrom('accounts').select('id').limit(1).executeTakeFirst() !== undefined
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
