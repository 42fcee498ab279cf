/** A view, as it stands in the log. */
export interface View {
  mediaId: string
  /** The link it came by, if any: one view is counted for each link and address. */
  linkId: string | null
  address: string
  /** What counts as one viewer. */
  addressKey: string
  accountId: string | null
  userAgent: string | null
  viewedAt: number
  /** A stream by a token: counted once in 30 minutes for each account, address and media. */
  byToken?: boolean
}
