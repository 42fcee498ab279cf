import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import { MiB } from '../../bytes.js'
import type { Database } from '../../database/tables.js'
import { ApiError } from '../../errors.js'
import type { Package } from '../../media/schema.js'
import type { Keyring } from '../../secrets/keyring.js'
import type { BlobStore } from '../../storage/blob-store.js'
import { openContentKey } from '../content-keys.js'
import { describeSegment, pictureSizeOf } from './describe-segment.js'
import { PackageIndex } from './package-index.js'
import { findPackageIndex, updateDescription } from './package-index-store.js'
import type { StreamDescription } from './stream-description.js'
import { FIRST_TIME } from './transport-stream.js'

/** Enough for the indexes of about 2,000 hours of media. */
const MAX_CACHED_BYTES = 16 * MiB
const NOT_DESCRIBED: StreamDescription = { codecs: '', frameRate: null, size: null }

export type PackageIndexes = ReturnType<typeof createPackageIndexes>

interface FirstSegment {
  mediaId: string
  packaged: Package
  bytes: number
}

interface PackageIndexesOptions {
  db: Kysely<Database>
  blobs: Pick<BlobStore, 'pathOf'>
  keys: Keyring
  /** Called if a package cannot be described. The package can still be played. */
  onFault: (error: unknown, mediaId: string) => void
  maxBytes?: number
}

/**
 * Reads the indexes of packages. A package never changes, so its index is cached by the name of its blob. The size of
 * the pictures is read from the first segment. If an older version stored no description, the package is described when
 * it is first played.
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
      const { segments, zeroTicks } = stored
      const first = { mediaId, packaged: { blobName, contentKey }, bytes: segments[0]?.[0] ?? 0 }
      const description =
        stored.description === undefined
          ? await describe(first)
          : { ...stored.description, size: await sizeOf(first, stored.description.codecs) }
      return new PackageIndex({ segments, description, zeroTicks: zeroTicks ?? FIRST_TIME })
    }
  })

  async function describe (first: FirstSegment): Promise<StreamDescription> {
    try {
      const description = await describeSegment(...placeOf(first))
      await updateDescription(db, first.mediaId, first.packaged.blobName, description)
      return description
    } catch (error) {
      onFault(error, first.mediaId)
      return NOT_DESCRIBED
    }
  }

  /** Null for a stream without pictures, and for one that cannot be read. */
  async function sizeOf (first: FirstSegment, codecs: string): Promise<StreamDescription['size']> {
    if (codecs !== '' && !codecs.startsWith('avc1')) return null
    try {
      return await pictureSizeOf(...placeOf(first))
    } catch (error) {
      onFault(error, first.mediaId)
      return null
    }
  }

  function placeOf ({ mediaId, packaged, bytes }: FirstSegment): [path: string, bytes: number, contentKey: Buffer] {
    return [blobs.pathOf(packaged.blobName), bytes, openContentKey(packaged.contentKey, mediaId, keys)]
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
