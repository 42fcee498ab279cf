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
import { packageFile, type PackageFacts, type PackageOrder } from './packager.js'
import { receiveOutput } from './receive-output.js'
import { encodeAll, planAfter, type TranscodePlan } from './transcode-plan.js'
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
const SECOND_LOOK = new Set<FileFaultKind>(['damaged', 'empty', 'unsupported', 'turned', 'stretched', 'edited'])

/** How the order of a transcoded file differs from that of the media. */
type Changes = Pick<PackageOrder, 'path'> & Partial<Pick<PackageOrder, 'size' | 'durationMs'>>
interface Attempt {
  write (changes: Changes): Promise<PackageFacts>
  signal: AbortSignal
}

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
    const { db, blobs } = this.#options
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
    const write = async (changes: Changes): Promise<PackageFacts> => {
      await rm(target, { force: true })
      const facts = await packageFile({ ...order, ...changes }, signal, saveProgress)
      if (facts.segments.length === 0) throw new FileFault('empty', 'it has no frames')
      return facts
    }
    try {
      return await write({ path: blobs.pathOf(media.blobName!) })
    } catch (error) {
      const plan = await this.#planFor(media, error)
      return await this.#writeTranscoded(media, plan, { write, signal })
    }
  }

  /** Returns the plan of ffmpeg for a fault of the file. **Throws** the fault if ffmpeg cannot help or is missing. */
  async #planFor (media: Media, error: unknown): Promise<TranscodePlan> {
    if (!(error instanceof FileFault) || !SECOND_LOOK.has(error.kind)) throw toPackagingError(error)
    if ((await this.#options.ffmpeg?.version()) !== undefined) return error.plan ?? encodeAll(media.type)
    throw error.kind === 'unsupported' ? unsupportedReason(media, error.plan !== undefined) : toPackagingError(error)
  }

  /** Writes what ffmpeg makes of a media. If that fails, it tries once more, and encodes everything. */
  async #writeTranscoded (media: Media, plan: TranscodePlan, attempt: Attempt): Promise<PackageFacts> {
    const secondPlan = planAfter(plan, media.type)
    try {
      return await this.#writeByPlan(media, plan, attempt)
    } catch (error) {
      attempt.signal.throwIfAborted()
      if (secondPlan === undefined || !(error instanceof Unpackageable) || error.isFinal) throw error
      return await this.#writeByPlan(media, secondPlan, attempt)
    }
  }

  async #writeByPlan (media: Media, plan: TranscodePlan, { write, signal }: Attempt): Promise<PackageFacts> {
    const transcoded = await this.#transcode(media, plan, signal)
    const { size, endsAt = Infinity } = plan
    const durationMs = media.durationMs === null ? null : Math.min(media.durationMs, endsAt * SECOND)
    try {
      return await write({ path: transcoded.path, size, durationMs })
    } catch (error) {
      throw toPackagingError(error)
    } finally {
      await transcoded.discard()
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
