import type { Kysely } from 'kysely'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { findStoredBytes } from './media-store.js'

/**
 * Uploads of one owner in this process: how many, the bytes of their drafts, and the bytes that became media since the
 * first of them began.
 */
interface UnderWay {
  uploads: number
  bytes: number
  published: number
}

/** The room of one upload. */
export interface Room {
  /** Takes room for some more bytes. Throws `quota_exceeded`, and all is given back then. */
  take(bytes: number): void
  /** Gives back what was taken; may be called more than once. */
  release(): void
}

export type Quota = ReturnType<typeof createQuota>

/**
 * Holds an owner's files to the quota already while they come in: what is stored and all drafts of this process
 * together never pass it. The transaction that makes the media asks once more, across all processes.
 */
export function createQuota ({ db, quotaBytes }: { db: Kysely<Database>; quotaBytes: number }) {
  const owners = new Map<string, UnderWay>()

  function exceeded (usedBytes: number): ApiError {
    return new ApiError('quota_exceeded', {
      detail: `The file does not fit: ${usedBytes} of your ${quotaBytes} bytes are taken.`,
      extra: { quota_bytes: quotaBytes, used_bytes: usedBytes }
    })
  }

  return {
    /** Room for an upload that begins. */
    async begin (ownerId: string): Promise<Room> {
      const underWay = owners.get(ownerId) ?? { uploads: 0, bytes: 0, published: 0 }
      owners.set(ownerId, underWay)
      underWay.uploads++
      let taken = 0
      let open = true
      const release = () => {
        if (!open) return
        open = false
        underWay.bytes -= taken
        if (--underWay.uploads === 0) owners.delete(ownerId)
      }
      try {
        const storedBytes = await findStoredBytes(db, ownerId)
        const publishedBefore = underWay.published
        return {
          take (bytes) {
            const usedBytes = storedBytes + underWay.published - publishedBefore
            if (usedBytes + underWay.bytes + bytes > quotaBytes) {
              // At once: others that come in at this moment may fit now.
              release()
              throw exceeded(usedBytes)
            }
            taken += bytes
            underWay.bytes += bytes
          },
          release
        }
      } catch (error) {
        release()
        throw error
      }
    },

    /**
     * Throws `quota_exceeded` unless this many more bytes fit; to be asked under a lock, in the transaction that stores
     * them.
     */
    async require (trx: Kysely<Database>, ownerId: string, bytes: number): Promise<void> {
      const usedBytes = await findStoredBytes(trx, ownerId)
      if (usedBytes + bytes > quotaBytes) throw exceeded(usedBytes)
    },

    /** To be told of bytes that were stored. */
    stored (ownerId: string, bytes: number): void {
      const underWay = owners.get(ownerId)
      if (underWay !== undefined) underWay.published += bytes
    }
  }
}
