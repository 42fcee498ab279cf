import { KiB } from '../bytes.js'
import { ApiError } from '../errors.js'
import type { ProblemCode } from '../schemas/problem-codes.js'
import { addressKey } from '../http/client-address.js'
import { isoTime, SECOND, type Clock } from '../time.js'

/** Maximum numbers of concurrent slots in this process. 0 means no limit. */
export interface ConcurrencyLimits {
  perAccount: number
  perAddress: number
  /** Maximum slots of requests with the same link. */
  perLink?: number
  total: number
}

/** The account, address and link that a slot counts against. */
export interface SlotOwner {
  accountId: string | null
  address: string
  linkId?: string
}

/** Work in a slot that the limiter may end to make room. */
export interface Transfer {
  /** `takenBytes` never decreases. `isPending` means that more bytes are ready for the client. */
  progress(): { takenBytes: number; isPending: boolean }
  end(): void
}

export interface Slot {
  /** Restarts the stall check of a client that keeps up. */
  touch(): void
  /** Frees the slot. Further calls do nothing. */
  release(): void
}

/**
 * The end of a stream or an upload cannot be predicted. The delay is short for clients, and long enough to limit the
 * load of retries.
 */
const RETRY_AFTER_SECONDS = 5
/**
 * A transfer is stalled if its client reads less than {@link LEAST_BYTES} in this time
 * (docs/decisions/0009-scarce-streams.md).
 */
const STALLED_MS = 30 * SECOND
const LEAST_BYTES = 64 * KiB

/** Slots of an account, an address or a link, or all slots. The least recently touched slot is first. */
type Group = Set<HeldSlot>

/**
 * Limits concurrent slots by account, address and link, and in total. At a limit, it ends a stalled transfer to make
 * room.
 */
export class ConcurrencyLimiter {
  readonly #limits: Required<ConcurrencyLimits>
  readonly #refusal: ProblemCode
  readonly #clock: Clock
  readonly #groups = new Map<string, Group>()
  readonly #all: Group = new Set()

  /** `refusal` is the error code for a client over its limit. A full process throws `overloaded`. */
  constructor (limits: ConcurrencyLimits, refusal: ProblemCode, clock: Clock) {
    this.#limits = { perLink: 0, ...limits }
    this.#refusal = refusal
    this.#clock = clock
  }

  /**
   * Takes a slot. The limiter may end `transfer` later, if it stalls and its slot is needed. **Throws** the refusal
   * (429) for a client over its limit, or `overloaded` (503) if the process is full.
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
    // Stalled transfers end only after all limits accept the new slot.
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
   * Returns whether a group has room now, or after the slots in `stalled` end. If needed, adds a stalled slot of the
   * group to `stalled`.
   */
  #makeRoom (group: Group | undefined, limit: number, stalled: Set<HeldSlot>): boolean {
    if (group === undefined || limit === 0 || group.size < limit) return true
    for (const slot of stalled) if (group.has(slot)) return true
    const slot = this.#findStalled(group)
    if (slot === undefined) return false
    stalled.add(slot)
    return true
  }

  /**
   * Returns a stalled slot of a group. Checks each slot at most once in {@link STALLED_MS}, so that refusals stay
   * cheap.
   */
  #findStalled (group: Group): HeldSlot | undefined {
    const staleBefore = this.#clock.monotonicNow() - STALLED_MS
    for (const slot of group) {
      // All following slots were touched later.
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
   * Returns whether the client read too little since the last touch, although bytes were ready. A slow disk is not
   * counted as a stalled client.
   */
  isStalled (): boolean {
    if (this.#transfer === undefined) return false
    const { takenBytes, isPending } = this.#transfer.progress()
    return isPending && takenBytes - this.#takenBytes < LEAST_BYTES
  }

  touch (): void {
    for (const group of this.#groups) {
      // The slot moves to the end of the group, unless it is released.
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
