import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { v7 as uuidv7 } from 'uuid'
import { RecordCache } from '../cache/record-cache.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { isInAddressList } from '../http/address-list.js'
import { pageOf, type Page, type PageQuery } from '../schemas/pagination.js'
import { DAY, MINUTE, type Clock } from '../time.js'
import { findAccount, lockCredentials } from './account-store.js'
import type { Accounts } from './accounts.js'
import type { ApiKey } from './api-key-schema.js'
import {
  countApiKeys,
  deleteApiKey,
  findApiKeyByHash,
  insertApiKey,
  listApiKeys,
  noteUse,
  renameApiKey
} from './api-key-store.js'
import { hashOfApiKey, newApiKey } from './api-key-text.js'
import type { Viewer } from './schema.js'
import type { Scope } from './scopes.js'

/** Each key has rate limits of its own, so this bounds the requests of one account. */
const MAX_KEYS_OF_ACCOUNT = 50
const NOTE_EVERY_MS = MINUTE
/** Keys that this process remembers as accepted, and whose uses it has noted. */
const REMEMBERED_KEYS = 10_000

export interface NewApiKey {
  name: string
  scopes: Scope[]
  expiresInDays?: number | undefined
  addresses?: string[] | undefined
}

/** A request that presents a key: where it comes from, and the scope that its route needs. */
export interface KeyUse {
  address: string
  /** Undefined: the route is closed to keys. */
  scope: Scope | undefined
}

interface Options {
  db: Kysely<Database>
  accounts: Accounts
  clock: Clock
  /** Called when the time of a use could not be stored. */
  onNoteFailed(error: unknown): void
}

/**
 * API keys. A program that sends one acts for its account, within the scopes of the key and the present role of the
 * account. A revoked key is refused within a second on every process.
 */
export class ApiKeys {
  readonly #options: Options
  /** By the hash of the key. */
  readonly #keys: RecordCache<ApiKey>
  readonly #accepted = new LRUCache<string, ApiKey>({ max: REMEMBERED_KEYS })
  /** The times of the last notes, on the monotonic clock. */
  readonly #notedAt = new LRUCache<string, number>({ max: REMEMBERED_KEYS })
  readonly #notes = new Set<Promise<void>>()

  constructor (options: Options) {
    const { db, clock } = options
    this.#options = options
    this.#keys = new RecordCache((keyHash) => findApiKeyByHash(db, keyHash), clock)
  }

  /** Creates a key of an account. Only the result contains its text. **Throws** `invalid_token`, `too_many_keys`. */
  async create (accountId: string, newKey: NewApiKey): Promise<{ apiKey: ApiKey; key: string }> {
    const { db, clock } = this.#options
    const [id, now] = [uuidv7(), clock.now()]
    const key = newApiKey(id)
    const apiKey: ApiKey = {
      id,
      accountId,
      name: newKey.name,
      scopes: newKey.scopes,
      addresses: newKey.addresses ?? [],
      createdAt: now,
      expiresAt: newKey.expiresInDays === undefined ? null : now + newKey.expiresInDays * DAY,
      lastUsedAt: null
    }
    await db.transaction().execute(async (trx) => {
      const owner = await lockCredentials(trx, accountId)
      if (owner === undefined || owner.account.disabled) throw new ApiError('invalid_token')
      if ((await countApiKeys(trx, accountId)) >= MAX_KEYS_OF_ACCOUNT) throw new ApiError('too_many_keys')
      await insertApiKey(trx, apiKey, hashOfApiKey(key)!)
    })
    return { apiKey, key }
  }

  /** Lists the keys of an account, newest first. **Throws** `not_found` for an unknown account. */
  async list (accountId: string, page: PageQuery): Promise<Page<ApiKey>> {
    const { db } = this.#options
    if ((await findAccount(db, accountId)) === undefined) throw new ApiError('not_found')
    const { items, total } = await listApiKeys(db, accountId, page)
    return pageOf(items, total, page)
  }

  /** Renames a key of the viewer; an administrator may rename any key. **Throws** `not_found`. */
  async rename (viewer: Viewer, id: string, name: string): Promise<ApiKey> {
    const renamed = await renameApiKey(this.#options.db, id, name, ownerFor(viewer))
    if (renamed === undefined) throw new ApiError('not_found')
    return renamed
  }

  /** Revokes a key of the viewer; an administrator may revoke any key. **Throws** `not_found`. */
  async revoke (viewer: Viewer, id: string): Promise<void> {
    const keyHash = await deleteApiKey(this.#options.db, id, ownerFor(viewer))
    if (keyHash === undefined) throw new ApiError('not_found')
    this.#keys.invalidate(keyHash)
    this.#accepted.delete(keyHash)
  }

  /**
   * Returns the account of a key, with the scopes of the key. `since` is the argument of the check in
   * `confirmRefusal`. **Throws** `invalid_token`, `key_address_refused`, `scope_required`.
   */
  async viewer (keyHash: string, { address, scope }: KeyUse, since: number): Promise<Viewer> {
    const key = await this.#keys.get(keyHash, since)
    const isValid = key !== undefined && (key.expiresAt === null || key.expiresAt > this.#options.clock.now())
    const viewer = isValid ? await this.#options.accounts.viewer(key.accountId, since) : undefined
    if (!isValid || viewer === undefined) {
      this.#accepted.delete(keyHash)
      throw new ApiError('invalid_token')
    }
    if (!isAccepted(key, address)) throw new ApiError('key_address_refused')
    this.#accepted.set(keyHash, key)
    if (scope === undefined || !key.scopes.includes(scope)) throw scopeRequired(scope)
    this.#note(key.id)
    return { ...viewer, scopes: key.scopes }
  }

  /**
   * Returns the name under which the requests of a key are counted. Undefined if this process has not accepted the key
   * before: rate limits come before the database, so unknown keys count for their address.
   */
  limitName (keyHash: string, address: string): string | undefined {
    const key = this.#accepted.get(keyHash)
    return key !== undefined && isAccepted(key, address) ? `key:${key.id}` : undefined
  }

  /** Waits for the uses that are being noted. */
  async close (): Promise<void> {
    await Promise.all(this.#notes)
  }

  /** Stores the time of a use, at most once a minute for each key, without delaying the request. */
  #note (id: string): void {
    const { db, clock, onNoteFailed } = this.#options
    const notedAt = this.#notedAt.get(id)
    if (notedAt !== undefined && clock.monotonicNow() - notedAt < NOTE_EVERY_MS) return
    this.#notedAt.set(id, clock.monotonicNow())
    const now = clock.now()
    const note = noteUse(db, id, now, now - NOTE_EVERY_MS)
      .catch(onNoteFailed)
      .finally(() => this.#notes.delete(note))
    this.#notes.add(note)
  }
}

/** **Throws** `scope_required` if the viewer uses an API key without a scope that the route does not name. */
export function requireScope ({ scopes }: Viewer, scope: Scope): void {
  if (scopes !== undefined && !scopes.includes(scope)) throw scopeRequired(scope)
}

/** Returns the account whose keys the viewer may change; undefined for the keys of all accounts. */
function ownerFor ({ id, role }: Viewer): string | undefined {
  return role === 'admin' ? undefined : id
}

function isAccepted ({ addresses }: ApiKey, address: string): boolean {
  return addresses.length === 0 || isInAddressList(address, addresses)
}

/** The header is that of RFC 6750, section 3.1. */
function scopeRequired (scope: Scope | undefined): ApiError {
  const named = scope === undefined ? '' : `, scope="${scope}"`
  return new ApiError('scope_required', {
    detail: scope === undefined ? 'No API key may do this. Log in instead.' : `This API key lacks the scope ${scope}.`,
    extra: { scope: scope ?? null },
    headers: { 'www-authenticate': `Bearer error="insufficient_scope"${named}` }
  })
}
