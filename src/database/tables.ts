import type { Generated } from 'kysely'
import type { CaptionsTable, ChaptersTable } from './caption-tables.js'
import type {
  CoursesTable,
  LectureProgressTable,
  LecturesTable,
  LectureTalliesTable,
  SubscriptionsTable
} from './course-tables.js'
import type { UploadGrantsTable } from './grant-tables.js'
import type { IdempotencyKeysTable } from './idempotency-tables.js'
import type { UploadsTable } from './upload-tables.js'
import type { TokenViewsTable, ViewDaysTable, ViewsTable, ViewTotalsTable, ViewViewersTable } from './view-tables.js'

// Times are epoch milliseconds, durations are milliseconds, days are whole days since the epoch, and flags are 0 or 1.
// Integers are the same on both engines, and their sums are exact.

export interface Database {
  accounts: AccountsTable
  media: MediaTable
  package_indexes: PackageIndexesTable
  captions: CaptionsTable
  chapters: ChaptersTable
  views: ViewsTable
  view_totals: ViewTotalsTable
  view_days: ViewDaysTable
  view_viewers: ViewViewersTable
  token_views: TokenViewsTable
  server_facts: ServerFactsTable
  counters: CountersTable
  courses: CoursesTable
  lectures: LecturesTable
  subscriptions: SubscriptionsTable
  lecture_progress: LectureProgressTable
  lecture_tallies: LectureTalliesTable
  jobs: JobsTable
  uploads: UploadsTable
  sessions: SessionsTable
  refresh_tokens: RefreshTokensTable
  api_keys: ApiKeysTable
  reset_links: ResetLinksTable
  mux_events: MuxEventsTable
  server_processes: ServerProcessesTable
  idempotency_keys: IdempotencyKeysTable
  upload_grants: UploadGrantsTable
}

export interface AccountsTable {
  id: string
  email: string
  /** The email in lower case, for comparison. It is unique. */
  email_key: string
  password_hash: string
  role: 'admin' | 'instructor' | 'student'
  first_name: string | null
  last_name: string | null
  date_of_birth: string | null
  mobile_number: string | null
  /** Email and names, folded for searches. Null in rows of an older version. */
  search_text: string | null
  disabled: number
  created_at: number
}

export interface MediaTable {
  id: string
  owner_id: string
  title: string
  /** The title, folded for searches. Null in rows of an older version. */
  title_search: string | null
  type: 'video' | 'audio'
  visibility: 'private' | 'public'
  status: 'ready' | 'processing' | 'failed'
  /** The URL of a media that was created by JSON. Null for an uploaded file. */
  file_url: string | null
  /**
   * The random name of the file in the blob store. Null for a media that was created by JSON. With `shared_blob`, it is
   * only a unique value.
   */
  blob_name: string | null
  /** The name of the file, if it was uploaded for another media. */
  shared_blob: Generated<string | null>
  content_type: string | null
  size_bytes: number | null
  sha256: string | null
  duration_ms: number | null
  width: number | null
  height: number | null
  /** A JSON array of codec names. */
  codecs: string
  /**
   * A JSON array of {@link Track} (src/media/media-formats.ts). Null for a media that was created by JSON, and in rows
   * of an older version.
   */
  tracks: string | null
  /** Links contain it. An increase revokes all links created before. */
  generation: number
  created_at: number
  updated_at: number
  protection: 'none' | 'encrypted'
  /** The progress of packaging in percent. */
  progress: number
  error_code: string | null
  error_message: string | null
  /** The blob with the encrypted segments, one after another. */
  package_blob: string | null
  /** The content key, encrypted; see src/protection/content-keys.ts. */
  content_key: string | null
  /** The blob of the poster, a JPEG. */
  poster_blob: string | null
  /** The provider of the encrypted stream. */
  provider: 'local' | 'mux'
  /** The ids of the media at Mux, null if unknown, and its protection there. */
  mux_upload_id: string | null
  mux_asset_id: string | null
  mux_playback_id: string | null
  mux_policy: 'signed' | 'drm' | null
  /** 1 if common browsers play the file, 0 if not, null if unknown. */
  playable_everywhere: number | null
  /** Null for a media that needs no rendition. */
  rendition_status: 'waiting' | 'processing' | 'ready' | 'failed' | null
  /** The progress of the rendition in percent. */
  rendition_progress: number | null
  /** The blob of a ready rendition. */
  rendition_blob: string | null
  /** JSON: the {@link RenditionFile} of a ready rendition without its blob, or the error of a failed one. */
  rendition_facts: string | null
  /** The time of the deletion. The row is then hidden, and a job removes it. */
  deleted_at: number | null
}

/** The segments of a package. They have their own table, because media are read far more often. */
export interface PackageIndexesTable {
  media_id: string
  /** The blob of the package, as in `package_blob` of the media. */
  blob_name: string
  /** JSON: an array of {@link SegmentFacts} (src/protection/hls/packager.ts). */
  segments: string
  /** By RFC 6381. Empty if a codec has no name, null until the package is described. */
  codecs: string | null
  /** Thousandths of a picture per second; null without pictures. */
  frame_rate_thousandths: number | null
  /** The time in the stream at which the media is at 0, in 1/90,000 s. Null in packages of an older version. */
  zero_ticks: Generated<number | null>
}

/** Facts about the whole installation, by name. */
export interface ServerFactsTable {
  name: string
  value: string
}

/** Totals of lists and bytes of accounts. They change in the same transaction as the counted rows. */
export interface CountersTable {
  name: string
  value: number
}

/** Pending jobs for media and courses, or for the remains of deleted media. */
export interface JobsTable {
  id: string
  kind:
    | 'package'
    | 'mux-ingest'
    | 'mux-removal'
    | 'delete-media'
    | 'delete-course'
    | 'tally-course'
    | 'describe-files'
    | 'rendition'
  /** Null if the media may be deleted. */
  media_id: string | null
  /** The owner of the media. Jobs of different owners take turns. */
  owner_id: Generated<string | null>
  turn: Generated<number>
  /** The course of a job for a course. */
  course_id: Generated<string | null>
  /** The media of a job that makes a rendition. */
  rendition_of: Generated<string | null>
  /** JSON: the upload and the asset to delete at Mux. */
  removal: string | null
  /** A job cannot be claimed before this time. A claim sets it to the end of a lease, which the process renews. */
  run_after: number
  failures: number
  /** The number of starts that did not end, because the process ended. */
  attempts: Generated<number>
  created_at: number
}

/** A login. All its tokens become invalid when its row is deleted. */
export interface SessionsTable {
  id: string
  account_id: string
  created_at: number
  /** The expiry of its last token. */
  expires_at: number
}

export interface RefreshTokensTable {
  /** SHA-256 in base64url. A token has 256 random bits, so it needs no slow hash. */
  token_hash: string
  session_id: string
  /** SHA-256 of the common start of all tokens of a session. Null for a token from before families existed. */
  family_hash: string | null
  /** 1 after the exchange of a token without a family. Presenting such a token again ends the session. */
  rotated: number
  expires_at: number
}

export interface ApiKeysTable {
  id: string
  account_id: string
  name: string
  /** SHA-256 of the whole key in base64url. A key has 256 random bits, so it needs no slow hash. */
  key_hash: string
  /** Scopes, separated by spaces. */
  scopes: string
  /** Addresses and CIDRs from which the key is accepted, separated by spaces. Empty: from everywhere. */
  addresses: string
  created_at: number
  /** Null: never. */
  expires_at: number | null
  /** At most a minute older than the last use. */
  last_used_at: number | null
}

export interface ResetLinksTable {
  account_id: string
  /** SHA-256 in base64url. A token has 256 random bits, so it needs no slow hash. */
  token_hash: string
  expires_at: number
}

/** Webhook events that were handled. Mux sends each event at least once. */
export interface MuxEventsTable {
  id: string
  received_at: number
}

export interface ServerProcessesTable {
  id: string
  /** The public id of the secret that the process signs with. */
  current_key: string
  /** The public ids of all secrets of the process, separated by spaces. */
  known_keys: string
  seen_at: number
}
