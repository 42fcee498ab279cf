import type { Generated } from 'kysely'

/** Resumable uploads, from their creation until a day after their end. */
export interface UploadsTable {
  id: string
  /** The owner of the media. The size of an open upload counts in the owner's quota. */
  owner_id: string
  uploader_id: string
  /** The name of the draft in the blob store. The sweep keeps the draft of an open upload. */
  draft_name: string
  /** JSON: an {@link UploadDescription} (src/uploads/schema.ts). */
  description: string
  /** The metadata in the form in which the client sent it. */
  metadata: string | null
  /** The size that the client declared. */
  size_bytes: number
  /** The number of bytes that were synced to disk. */
  offset_bytes: Generated<number>
  /** How often bytes were added. */
  parts: Generated<number>
  /** The request that may write. Null between requests. */
  holder: Generated<string | null>
  /** A newer request, for which the holder must end. */
  wanted_by: Generated<string | null>
  /** A holder that must not end increases it every second. */
  beat: Generated<number>
  /** 0 after the upload became a media, or failed. */
  is_open: Generated<number>
  /** The media that the upload became. */
  media_id: Generated<string | null>
  /** The problem code and the detail of an upload that failed. */
  error_code: Generated<string | null>
  error_detail: Generated<string | null>
  created_at: number
  updated_at: number
  /** The row is deleted after this time. */
  expires_at: number
}
