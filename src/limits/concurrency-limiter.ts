import { KiB } from '../bytes.js'
import { ApiError } from '../errors.js'
import type { ProblemCode } from '../schemas/problem-codes.js'
import { addressKey } from '../http/client-address.js'
import { isoTime, SECOND, type Clock } from '../time.js'

/** How much of something may be under way at once in this process; 0 is no limit. */
export interface ConcurrencyLimits {
  perAccount: number
  perAddress: number
  /** For work that is requested by a link. */
  perLink?: number
  total: number
}

/** Whom a slot counts for. */
export interface SlotOwner {
  accountId: string | null
  address: string
  linkId?: string
}

/** What runs in a slot, for work that may be ended to make room. */
export interface Transfer {
  /** `takenBytes` only grows; `isPending`: more bytes are ready for the client. */
  progress(): { takenBytes: number; isPending: boolean }
  end(): void
}

export interface Slot {
  /** Records that the client keeps up. */
  touch(): void
  /** Frees the slot. Further calls do nothing. */
  release(): void
}

/** Soon enough to try again, too late to be a load: nobody knows when a stream or an upload ends. */
const RETRY_AFTER_SECONDS = 5
/**
 * A transfer is stalled if its client takes less than {@link LEAST_BYTES} in this time
 * (docs/decisions/0009-scarce-streams.md).
 */
const STALLED_MS = 30 * SECOND
const LEAST_BYTES = 64 * KiB

/** Slots of one account, address or link, or of all; the one that was touched longest ago is first. */
type Group = Set<HeldSlot>

/**
 * Bounds what is under way at once, by account, address, link and in all. Where a bound is reached, a stalled transfer
 * makes room.
 */
export class ConcurrencyLimiter {
  readonly #limits: Required<ConcurrencyLimits>
  readonly #refusal: ProblemCode
  readonly #clock: Clock
  readonly #groups = new Map<string, Group>()
  readonly #all: Group = new Set()

  /** `refusal`: the code for a client over its limit. A full process refuses with `overloaded`. */
  constructor (limits: ConcurrencyLimits, refusal: ProblemCode, clock: Clock) {
    this.#limits = { perLink: 0, ...limits }
    this.#refusal = refusal
    this.#clock = clock
  }

  /**
   * Takes a slot. A `transfer` may be ended later, if it stalls and its slot is needed.
   * Throws the refusal (429) for a client over its limit, `overloaded` (503) when the process is full.
   */
  acquire (owner: SlotOwner, transfer?: Transfer): Slot {
    const bounds = this.#boundsOf(owner)
    const stalled = new Set<HeldSlot>()
    for (const { key, limit } of bounds) {
      if (!this.#makeRoom(this.#groups.get(key), limit, stalled)) throw this.#tooMany(limit)
    }
    if (!this.#makeRoom(this.#all, this.#limits.total, stalled)) {
      throw new ApiError('overloaded', { headers: { 'retry-after': String(RETRY_AFTER_SECONDS) } })
    }
    // Only now: nobody loses a slot for a client that is refused.
    for (const slot of stalled) slot.end()
    const groups = bounds.map(({ key }) => ({ key, slots: this.#groupOf(key) }))
    return new HeldSlot(transfer, this.#clock, [...groups.map(({ slots }) => slots), this.#all], () => {
      for (const { key, slots } of groups) if (slots.size === 0) this.#groups.delete(key)
    })
  }

  /** Number of slots in use. */
  get taken (): number {
    return this.#all.size
  }

  #boundsOf ({ accountId, address, linkId }: SlotOwner): Array<{ key: string; limit: number }> {
    const { perAccount, perAddress, perLink } = this.#limits
    const bounds = []
    if (linkId !== undefined && perLink > 0) bounds.push({ key: `link ${linkId}`, limit: perLink })
    if (perAddress > 0) bounds.push({ key: `address ${addressKey(address)}`, limit: perAddress })
    if (accountId !== null && perAccount > 0) bounds.push({ key: `account ${accountId}`, limit: perAccount })
    return bounds
  }

  #groupOf (key: string): Group {
    const known = this.#groups.get(key)
    if (known !== undefined) return known
    const group: Group = new Set()
    this.#groups.set(key, group)
    return group
  }

  /**
   * Whether a group has room, or will have it once `stalled` are ended. Adds one of its own to them where it is needed.
   */
  #makeRoom (group: Group | undefined, limit: number, stalled: Set<HeldSlot>): boolean {
    if (group === undefined || limit === 0 || group.size < limit) return true
    for (const slot of stalled) if (group.has(slot)) return true
    const slot = this.#findStalled(group)
    if (slot === undefined) return false
    stalled.add(slot)
    return true
  }

  /** Looks at a slot once in {@link STALLED_MS} at most, so that refusals stay cheap. */
  #findStalled (group: Group): HeldSlot | undefined {
    const staleBefore = this.#clock.monotonicNow() - STALLED_MS
    for (const slot of group) {
      // All others were touched later.
      if (slot.touchedAt > staleBefore) return undefined
      if (slot.isStalled()) return slot
      slot.touch()
    }
    return undefined
  }

  #tooMany (limit: number): ApiError {
    const resetAt = isoTime(this.#clock.now() + RETRY_AFTER_SECONDS * SECOND)
    return new ApiError(this.#refusal, {
      extra: { limit, remaining: 0, reset_at: resetAt, retry_after: RETRY_AFTER_SECONDS },
      headers: { 'retry-after': String(RETRY_AFTER_SECONDS) }
    })
  }
}

class HeldSlot implements Slot {
  readonly #transfer: Transfer | undefined
  readonly #clock: Clock
  readonly #groups: Group[]
  readonly #onRelease: () => void
  #touchedAt = 0
  #isReleased = false
  #takenBytes = 0

  constructor (transfer: Transfer | undefined, clock: Clock, groups: Group[], onRelease: () => void) {
    this.#transfer = transfer
    this.#clock = clock
    this.#groups = groups
    this.#onRelease = onRelease
    for (const group of groups) group.add(this)
    this.#mark()
  }

  get touchedAt (): number {
    return this.#touchedAt
  }

  /**
   * Whether the client has taken too little since the last touch, with bytes ready for it: a slow disk stalls nobody.
   */
  isStalled (): boolean {
    if (this.#transfer === undefined) return false
    const { takenBytes, isPending } = this.#transfer.progress()
    return isPending && takenBytes - this.#takenBytes < LEAST_BYTES
  }

  touch (): void {
    for (const group of this.#groups) {
      // Last in the order of the group, unless the slot is released.
      if (group.delete(this)) group.add(this)
    }
    this.#mark()
  }

  release (): void {
    if (this.#isReleased) return
    this.#isReleased = true
    for (const group of this.#groups) group.delete(this)
    this.#onRelease()
  }

  end (): void {
    this.release()
    this.#transfer?.end()
  }

  #mark (): void {
    this.#touchedAt = this.#clock.monotonicNow()
    this.#takenBytes = this.#transfer?.progress().takenBytes ?? 0
  }
}
