import type Mux from '@mux/mux-node'
import type { Kysely } from 'kysely'
import type { Database } from '../../database/tables.js'
import { ApiError } from '../../errors.js'
import type { Library } from '../../media/library.js'
import { DAY, type Clock } from '../../time.js'
import { deleteMuxEvents, insertMuxEvent } from './mux-event-store.js'
import type { MuxLedger, MuxNews } from './mux-ledger.js'
import { isSignedByMux } from './webhook-signature.js'

/** Mux sends an event again for a day at most. */
const KEEP_EVENTS_MS = 7 * DAY

/** What became of an event: dealt with, dealt with before, or of no interest here. */
export type EventOutcome = 'accepted' | 'duplicate' | 'ignored'

export type MuxEvents = ReturnType<typeof createMuxEvents>

/** Takes in Mux's webhooks. */
export function createMuxEvents ({
  db,
  ledger,
  library,
  secret,
  clock
}: {
  db: Kysely<Database>
  ledger: MuxLedger
  library: Library
  secret: string
  clock: Clock
}) {
  return {
    /**
     * Deals with an event once, however often and wherever it arrives: durable when it is answered. Throws
     * `webhook_signature_invalid` for all that Mux did not sign in the last five minutes, and `bad_request` for what
     * Mux signed but is no event.
     */
    async receive (body: Buffer, signature: string | undefined): Promise<EventOutcome> {
      if (!isSignedByMux(body, signature, secret, clock.now())) throw new ApiError('webhook_signature_invalid')
      const event = parseEvent(body)
      const news = newsOf(event)
      if (news === undefined) return 'ignored'
      let mediaId: string | undefined
      const first = await db.transaction().execute(async (trx) => {
        if (!(await insertMuxEvent(trx, event.id, clock.now()))) return false
        mediaId = await ledger.enterWithin(trx, news)
        return true
      })
      if (mediaId !== undefined) library.forget(mediaId)
      return !first ? 'duplicate' : mediaId === undefined ? 'ignored' : 'accepted'
    },

    /** Forgets events that can't come again after `now`. */
    forgetOld: (now: number): Promise<void> => deleteMuxEvents(db, now - KEEP_EVENTS_MS)
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
    throw new ApiError('bad_request', { detail: 'This is no event of Mux: it needs id, type and data.' })
  }
  return event as SomeEvent
}

/** What an event says of a media; undefined for the many that say nothing. */
function newsOf (some: SomeEvent): MuxNews | undefined {
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
