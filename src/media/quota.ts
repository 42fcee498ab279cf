import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { findStoredBytes } from './media-store.js'

/** The uploads of an owner in this process, since the start of the oldest pending upload. */
interface PendingUploads {
  uploads: number
  /** Bytes of the drafts. */
  bytes: number
  /** Bytes that became media. */
  published: number
}

interface QuotaOptions {
  db: Kysely<Database>
  quotaBytes: number
  /** Returns the bytes that an owner has reserved, by open resumable uploads and upload grants. */
  findReservedBytes(db: Kysely<Database>, ownerId: string): Promise<number>
}

/** The bytes that one upload reserves. */
export interface Reservation {
  /** Reserves more bytes. **Throws** `quota_exceeded`, which releases the reservation. */
  take(bytes: number): void
  /** Releases the reservation; may be called more than once. */
  release(): void
}

/**
 * Enforces an owner's quota during uploads: stored files, the declared sizes of open resumable uploads, and the drafts
 * of this process never exceed it. The transaction that publishes a media checks the quota again, across all processes.
 */
export class Quota {
  readonly #options: QuotaOptions
  readonly #owners = new Map<string, PendingUploads>()

  constructor (options: QuotaOptions) {
    this.#options = options
  }

  /** Starts the reservation of an upload. */
  async begin (ownerId: string): Promise<Reservation> {
    const pending = this.#owners.get(ownerId) ?? { uploads: 0, bytes: 0, published: 0 }
    this.#owners.set(ownerId, pending)
    pending.uploads++
    let taken = 0
    let isOpen = true
    const release = () => {
      if (!isOpen) return
      isOpen = false
      pending.bytes -= taken
      if (--pending.uploads === 0) this.#owners.delete(ownerId)
    }
    try {
      const storedBytes = await this.#findUsedBytes(this.#options.db, ownerId)
      const publishedBefore = pending.published
      const take = (bytes: number) => {
        const usedBytes = storedBytes + pending.published - publishedBefore
        if (usedBytes + pending.bytes + bytes > this.#options.quotaBytes) {
          // The reservation ends at once, because another upload of this owner may fit now.
          release()
          throw this.#exceeded(usedBytes)
        }
        taken += bytes
        pending.bytes += bytes
      }
      return { take, release }
    } catch (error) {
      release()
      throw error
    }
  }

  /**
   * Checks that more bytes fit into the quota. The transaction must hold the owner's lock and store the bytes.
   * **Throws** `quota_exceeded`.
   */
  async require (trx: Kysely<Database>, ownerId: string, bytes: number): Promise<void> {
    const usedBytes = await this.#findUsedBytes(trx, ownerId)
    if (usedBytes + bytes > this.#options.quotaBytes) throw this.#exceeded(usedBytes)
  }

  /**
   * Checks that a new resumable upload fits, beside the drafts of this process. The transaction must hold the owner's
   * lock and reserve the bytes. **Throws** `quota_exceeded`.
   */
  async requireReservation (trx: Kysely<Database>, ownerId: string, bytes: number): Promise<void> {
    await this.require(trx, ownerId, (this.#owners.get(ownerId)?.bytes ?? 0) + bytes)
  }

  /** Must be called after bytes were stored. */
  stored (ownerId: string, bytes: number): void {
    const pending = this.#owners.get(ownerId)
    if (pending !== undefined) pending.published += bytes
  }

  async #findUsedBytes (db: Kysely<Database>, ownerId: string): Promise<number> {
    return (await findStoredBytes(db, ownerId)) + (await this.#options.findReservedBytes(db, ownerId))
  }

  #exceeded (usedBytes: number): ApiError {
    const { quotaBytes } = this.#options
    return new ApiError('quota_exceeded', {
      detail: `The file does not fit: you use ${usedBytes} of your ${quotaBytes} bytes.`,
      extra: { quota_bytes: quotaBytes, used_bytes: usedBytes }
    })
  }
}
