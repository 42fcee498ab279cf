import type { Kysely } from 'kysely'
import { rm } from 'node:fs/promises'
import { MiB } from '../../bytes.js'
import type { Database } from '../../database/tables.js'
import { updatePackaging } from '../../media/media-protection-store.js'
import type { Media } from '../../media/schema.js'
import type { Keyring } from '../../secrets/keyring.js'
import type { BlobStore, Draft } from '../../storage/blob-store.js'
import { MINUTE, SECOND } from '../../time.js'
import { newContentKey, sealContentKey } from '../content-keys.js'
import { exceedsPixels, type Ffmpeg } from './ffmpeg.js'
import { FileFault, type FileFaultKind } from './file-fault.js'
import { insertPackageIndex } from './package-index-store.js'
import { packageFile, type PackageFacts } from './packager.js'
import { receiveOutput } from './receive-output.js'
import { encodeAll, type TranscodePlan } from './transcode-plan.js'
import { holdsSound, toPackagingError, Unpackageable, unsupportedReason } from './unpackageable.js'

/**
 * On two cores, software H.264 at its fastest useful setting encodes 720p in real time. Larger pictures get more time.
 */
const MIN_TRANSCODE_MS = 10 * MINUTE
const TRANSCODE_FACTOR = 6
/** The maximum, because a header may claim any duration. */
const MAX_TRANSCODE_MS = 6 * 60 * MINUTE
/**
 * MPEG-TS adds about a tenth. H.264 may be several times as large as a source in a better codec. Far larger output
 * comes from a hostile file, and would fill the disk.
 */
const PACKAGE_FACTOR = 2
const TRANSCODED_FACTOR = 8
const MIN_OUTPUT_BYTES = 256 * MiB
/**
 * 33 hours at six seconds each. A file of a few megabytes may have a key frame every six seconds for years. The index
 * of its package would be as large as the file.
 */
const MAX_SEGMENTS = 20_000

interface Options {
  db: Kysely<Database>
  blobs: BlobStore
  keys: Keyring
  ffmpeg: Ffmpeg | undefined
}

/** Faults of which ffmpeg may make a file that can be packaged. */
const SECOND_LOOK = new Set<FileFaultKind>(['damaged', 'unsupported', 'turned', 'stretched', 'edited'])

/** Creates encrypted HLS packages of media. */
export class Packaging {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Packages a media and makes it ready, unless it was deleted or changed meanwhile. **Throws** {@link Unpackageable}
   * for a fault of the file.
   */
  async package (media: Media, signal: AbortSignal): Promise<void> {
    const { db, blobs, keys } = this.#options
    const contentKey = newContentKey()
    const draft = blobs.reserve()
    try {
      const facts = await this.#writeSegments(media, draft.path, contentKey, signal)
      if (facts.segments.length === 0) throw new Unpackageable('source_has_no_media')
      const blobName = await draft.publish()
      const packaged = { blobName, contentKey: sealContentKey(contentKey, media.id, keys) }
      const isKept = await db.transaction().execute(async (trx) => {
        if (!(await updatePackaging(trx, media.id, { packaged }))) return false
        await insertPackageIndex(trx, media.id, blobName, facts)
        return true
      })
      await (isKept ? blobs.markCommitted(blobName) : blobs.remove(blobName))
    } finally {
      await draft.discard()
    }
  }

  /** Writes the encrypted segments to `target`: of the file itself, or else of what ffmpeg makes of it. */
  async #writeSegments (
    media: Media,
    target: string,
    contentKey: Uint8Array,
    signal: AbortSignal
  ): Promise<PackageFacts> {
    const { db, blobs, ffmpeg } = this.#options
    const order = {
      target,
      maxBytes: PACKAGE_FACTOR * media.sizeBytes! + MIN_OUTPUT_BYTES,
      maxSegments: MAX_SEGMENTS,
      contentKey,
      durationMs: media.durationMs,
      type: media.type,
      hasSound: holdsSound(media)
    }
    const saveProgress = onIncrease((progress) => updatePackaging(db, media.id, { progress }))
    try {
      return await packageFile({ ...order, path: blobs.pathOf(media.blobName!) }, signal, saveProgress)
    } catch (error) {
      if (!(error instanceof FileFault) || !SECOND_LOOK.has(error.kind)) throw toPackagingError(error)
      const { kind, plan = encodeAll(media.type) } = error
      if ((await ffmpeg?.version()) === undefined) {
        throw kind === 'unsupported' ? unsupportedReason(media, error.plan !== undefined) : toPackagingError(error)
      }
      const transcoded = await this.#transcode(media, plan, signal)
      try {
        await rm(target, { force: true })
        const { size, endsAt = Infinity } = plan
        const durationMs = media.durationMs === null ? null : Math.min(media.durationMs, endsAt * SECOND)
        return await packageFile({ ...order, path: transcoded.path, size, durationMs }, signal, saveProgress)
      } catch (secondError) {
        throw toPackagingError(secondError)
      } finally {
        await transcoded.discard()
      }
    }
  }

  async #transcode (media: Media, plan: TranscodePlan, signal: AbortSignal): Promise<Draft> {
    const { blobs, ffmpeg } = this.#options
    if (exceedsPixels(media) || (plan.size !== undefined && exceedsPixels(plan.size))) {
      throw new Unpackageable('source_too_large')
    }
    const limitMs = Math.min(MAX_TRANSCODE_MS, MIN_TRANSCODE_MS + TRANSCODE_FACTOR * (media.durationMs ?? 0))
    const maxBytes = TRANSCODED_FACTOR * media.sizeBytes! + MIN_OUTPUT_BYTES
    const output = ffmpeg!.transcode(blobs.pathOf(media.blobName!), plan, limitMs)
    return await receiveOutput(blobs, output, maxBytes, signal)
  }
}

/** Calls `save` for each percentage above the last one, and ignores a failed save. */
function onIncrease (save: (percent: number) => Promise<unknown>): (percent: number) => void {
  let last = 0
  return (percent) => {
    if (percent <= last) return
    last = percent
    save(percent).catch(() => {})
  }
}
