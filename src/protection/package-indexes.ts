import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import type { Package } from '../media/schema.js'
import { PackageIndex } from './package-index.js'
import { findPackageIndex } from './package-index-store.js'

/** The indexes of some 11,000 hours of media. */
const MAX_CACHED_BYTES = 16 * 1024 * 1024

export type PackageIndexes = ReturnType<typeof createPackageIndexes>

interface PackageIndexesOptions { db: Kysely<Database>, maxBytes?: number }

/** Reads the indexes of packages. A package never changes: its index is cached by the name of its blob. */
export function createPackageIndexes ({ db, maxBytes = MAX_CACHED_BYTES }: PackageIndexesOptions) {
  const cache = new LRUCache<string, PackageIndex, string>({
    maxSize: maxBytes,
    sizeCalculation: (index) => index.sizeBytes,
    // A fetch that is evicted still resolves for the requests that await it.
    ignoreFetchAbort: true,
    fetchMethod: async (blobName, _, { context: mediaId }) => {
      const segments = await findPackageIndex(db, mediaId, blobName)
      return segments && new PackageIndex(segments)
    }
  })

  return {
    /** Throws `not_found` if the package was dropped since its media was read. */
    async of (mediaId: string, { blobName }: Package): Promise<PackageIndex> {
      const index = await cache.fetch(blobName, { context: mediaId })
      if (index === undefined) throw new ApiError('not_found')
      return index
    },

    /** Bytes that are cached. */
    cachedBytes: (): number => cache.calculatedSize
  }
}
