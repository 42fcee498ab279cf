import type Mux from '@mux/mux-node'
import type { Kysely } from 'kysely'
import type { Database } from '../../database/tables.js'
import { ApiError } from '../../errors.js'
import type { Library } from '../../media/library.js'
import { DAY, type Clock } from '../../time.js'
import { deleteMuxEvents, insertMuxEvent } from './mux-event-store.js'
import type { MuxAssetState, MuxUpdate } from './mux-asset-state.js'
import { isSignedByMux } from './webhook-signature.js'

/** Mux repeats an event for at most a day. */
const KEEP_EVENTS_MS = 7 * DAY

/** `duplicate`: handled before. `ignored`: it concerns no media of this server. */
export type EventOutcome = 'accepted' | 'duplicate' | 'ignored'

interface Options {
  db: Kysely<Database>
  assetState: MuxAssetState
  library: Library
  secret: string
  clock: Clock
}

/** Receives Mux's webhooks. */
export class MuxEvents {
  readonly #options: Options

  constructor (options: Options) {
    this.#options = options
  }

  /**
   * Handles an event only once, even if several processes receive it. The result is durable when this resolves.
   * **Throws** `webhook_signature_invalid` without a valid signature of the last five minutes. **Throws**
   * `malformed_json` or `bad_request` for a signed body that is not an event.
   */
  async receive (body: Buffer, signature: string | undefined): Promise<EventOutcome> {
    const { db, assetState, library, secret, clock } = this.#options
    if (!isSignedByMux(body, signature, secret, clock.now())) throw new ApiError('webhook_signature_invalid')
    const event = parseEvent(body)
    const update = updateOf(event)
    if (update === undefined) return 'ignored'
    let mediaId: string | undefined
    const isFirst = await db.transaction().execute(async (trx) => {
      if (!(await insertMuxEvent(trx, event.id, clock.now()))) return false
      mediaId = await assetState.applyWithin(trx, update)
      return true
    })
    if (mediaId !== undefined) library.invalidate(mediaId)
    if (!isFirst) return 'duplicate'
    return mediaId === undefined ? 'ignored' : 'accepted'
  }

  /** Deletes the ids of events that Mux no longer repeats. `now` in milliseconds. */
  forgetOld (now: number): Promise<void> {
    return deleteMuxEvents(this.#options.db, now - KEEP_EVENTS_MS)
  }
}

interface SomeEvent {
  id: string
  type: string
  data: object
}

function parseEvent (body: Buffer): SomeEvent {
  let event: Partial<SomeEvent> | null
  try {
    event = JSON.parse(body.toString('utf8')) as Partial<SomeEvent> | null
  } catch (error) {
    throw new ApiError('malformed_json', { cause: error })
  }
  if (
    typeof event?.id !== 'string' ||
    typeof event.type !== 'string' ||
    typeof event.data !== 'object' ||
    event.data === null
  ) {
    throw new ApiError('bad_request', { detail: 'The body is not an event of Mux: it must have id, type and data.' })
  }
  return event as SomeEvent
}

/** Returns the update in an event, or undefined for other types of events. */
function updateOf (some: SomeEvent): MuxUpdate | undefined {
  const event = some as unknown as Mux.Webhooks.UnwrapWebhookEvent
  switch (event.type) {
    case 'video.upload.asset_created':
    case 'video.upload.errored':
      return { upload: event.data }
    case 'video.asset.created':
    case 'video.asset.updated':
    case 'video.asset.ready':
    case 'video.asset.errored':
      return { asset: event.data }
    case 'video.asset.deleted':
      return { deletedAsset: event.data }
    default:
      return undefined
  }
}
