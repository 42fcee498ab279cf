// Times are epoch milliseconds, as tables.ts says.

/** A request with an `Idempotency-Key`, in progress or done. */
export interface IdempotencyKeysTable {
  account_id: string
  key: string
  /** The attempt that holds the lease. */
  holder: string
  lease_until: number
  /** Identifies the request; see src/idempotency/fingerprint.ts. Null until something is created. */
  fingerprint: string | null
  /** The finished parts of a batch: a JSON array, encrypted. */
  parts: string | null
  /** The response, encrypted, because it may contain links. Null until the request is done. */
  answer: string | null
  created_at: number
}
