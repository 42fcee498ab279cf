/** A row of the view log. */
export interface View {
  mediaId: string
  /** The link of the request, or null. One view counts for each link and address. */
  linkId: string | null
  address: string
  /** The key that identifies a viewer. */
  addressKey: string
  accountId: string | null
  userAgent: string | null
  viewedAt: number
  /** Set for a stream by an access token. It counts once in 30 minutes for each account, address and media. */
  byToken?: boolean
}
