import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { MiB } from '../../bytes.js'
import type { Database } from '../../database/tables.js'
import { ApiError } from '../../errors.js'
import type { Package } from '../../media/schema.js'
import type { Keyring } from '../../secrets/keyring.js'
import type { BlobStore } from '../../storage/blob-store.js'
import { openContentKey } from '../content-keys.js'
import { describeSegment } from './describe-segment.js'
import { PackageIndex } from './package-index.js'
import { findPackageIndex, updateDescription } from './package-index-store.js'
import type { StreamDescription } from './stream-description.js'

/** Enough for the indexes of about 2,000 hours of media. */
const MAX_CACHED_BYTES = 16 * MiB
const NOT_DESCRIBED: StreamDescription = { codecs: '', frameRate: null }

export type PackageIndexes = ReturnType<typeof createPackageIndexes>

interface PackageIndexesOptions {
  db: Kysely<Database>
  blobs: Pick<BlobStore, 'pathOf'>
  keys: Keyring
  /** Called if a package cannot be described. The package can still be played. */
  onFault: (error: unknown, mediaId: string) => void
  maxBytes?: number
}

/**
 * Reads the indexes of packages. A package never changes, so its index is cached by the name of its blob. If an older
 * version stored no description, the package is described when it is first played.
 */
export function createPackageIndexes (options: PackageIndexesOptions) {
  const { db, blobs, keys, onFault, maxBytes = MAX_CACHED_BYTES } = options
  const cache = new LRUCache<string, PackageIndex, { mediaId: string; contentKey: string }>({
    maxSize: maxBytes,
    sizeCalculation: (index) => index.sizeBytes,
    // An evicted fetch still resolves for the requests that await it.
    ignoreFetchAbort: true,
    fetchMethod: async (blobName, _, { context: { mediaId, contentKey } }) => {
      const stored = await findPackageIndex(db, mediaId, blobName)
      if (stored === undefined) return undefined
      const { segments } = stored
      const description =
        stored.description ?? (await describe(mediaId, { blobName, contentKey }, segments[0]?.[0] ?? 0))
      return new PackageIndex({ segments, description })
    }
  })

  /** Describes a package by its first segment, of `firstBytes` bytes. */
  async function describe (mediaId: string, packaged: Package, firstBytes: number): Promise<StreamDescription> {
    const { blobName, contentKey } = packaged
    try {
      const key = openContentKey(contentKey, mediaId, keys)
      const description = await describeSegment(blobs.pathOf(blobName), firstBytes, key)
      await updateDescription(db, mediaId, blobName, description)
      return description
    } catch (error) {
      onFault(error, mediaId)
      return NOT_DESCRIBED
    }
  }

  return {
    /** Returns the index of a package. **Throws** `not_found` if the package was deleted after its media was read. */
    async of (mediaId: string, { blobName, contentKey }: Package): Promise<PackageIndex> {
      const index = await cache.fetch(blobName, { context: { mediaId, contentKey } })
      if (index === undefined) throw new ApiError('not_found')
      return index
    },

    /** Returns the size of the cached indexes, in bytes. */
    cachedBytes: (): number => cache.calculatedSize
  }
}
