import type { Generated } from 'kysely'

// Moments are epoch milliseconds, durations milliseconds, days whole days since the epoch, flags 0 or 1: integers
// mean the same on both engines, and sums of them are exact.

export interface Database {
  accounts: AccountsTable
  media: MediaTable
  package_indexes: PackageIndexesTable
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
  sessions: SessionsTable
  refresh_tokens: RefreshTokensTable
  mux_events: MuxEventsTable
  server_processes: ServerProcessesTable
}

export interface AccountsTable {
  id: string
  email: string
  /** The email in lower case: what is compared, and unique. */
  email_key: string
  password_hash: string
  role: 'admin' | 'instructor' | 'student'
  first_name: string | null
  last_name: string | null
  date_of_birth: string | null
  mobile_number: string | null
  /** Email and names, folded for searches; null in a row of an older process. */
  search_text: string | null
  disabled: number
  created_at: number
}

export interface MediaTable {
  id: string
  owner_id: string
  title: string
  /** The title, folded for searches; null in a row of an older process. */
  title_search: string | null
  type: 'video' | 'audio'
  visibility: 'private' | 'public'
  status: 'ready' | 'processing' | 'failed'
  /** Where a JSON-made media lives; null for an uploaded one. */
  file_url: string | null
  /** The file's random name in the blob store; null for a JSON-made one. */
  blob_name: string | null
  content_type: string | null
  size_bytes: number | null
  sha256: string | null
  duration_ms: number | null
  width: number | null
  height: number | null
  /** A JSON array of codec names. */
  codecs: string
  /** Links carry it; raising it kills all links minted before. */
  generation: number
  created_at: number
  updated_at: number
  protection: 'none' | 'encrypted'
  /** Percent of the packaging that is done. */
  progress: number
  error_code: string | null
  error_message: string | null
  /** The blob that holds the encrypted segments one after another. */
  package_blob: string | null
  /** The content key, encrypted; see src/protection/content-keys.ts. */
  content_key: string | null
  /** A picture of it, JPEG. */
  poster_blob: string | null
  /** Who makes and serves its encrypted stream. */
  provider: 'local' | 'mux'
  /** Its names at Mux, as far as they are known, and how it is protected there. */
  mux_upload_id: string | null
  mux_asset_id: string | null
  mux_playback_id: string | null
  mux_policy: 'signed' | 'drm' | null
  /** Set when it was deleted: no one sees the row any more, and a job removes it. */
  deleted_at: number | null
}

/** The segments of a package. They lie apart from their media, which is read far more often. */
export interface PackageIndexesTable {
  media_id: string
  /** The package that they are in: its media's `package_blob`. */
  blob_name: string
  /** JSON: an array of {@link SegmentFacts} (src/protection/hls/packager.ts). */
  segments: string
  /** By RFC 6381; empty where they cannot be named, null until the package is described. */
  codecs: string | null
  /** Thousandths of a picture per second; null without pictures. */
  frame_rate_thousandths: number | null
}

export interface ViewsTable {
  id: Generated<number>
  media_id: string
  /** The link a stream view came by: one view per link and address. Null for others. */
  link_id: string | null
  address: string
  /** What counts as one viewer: the address, an IPv6 one by its /64. */
  address_key: string
  account_id: string | null
  user_agent: string | null
  viewed_at: number
}

/** The last counted view of each account, address and media by a token. */
export interface TokenViewsTable {
  media_id: string
  account_id: string
  address_key: string
  viewed_at: number
}

/** Made with its media, so that locking it proves that the media exists. */
export interface ViewTotalsTable {
  media_id: string
  total_views: number
  unique_viewers: number
  /** Raised when figures change without a view (a recount), so that no cached answer survives it. */
  revision: number
}

export interface ViewDaysTable {
  media_id: string
  day: number
  views: number
}

export interface ViewViewersTable {
  media_id: string
  address_key: string
}

/** What is true of the whole installation, by name. */
export interface ServerFactsTable {
  name: string
  value: string
}

export interface CoursesTable {
  id: string
  owner_id: string
  title: string
  description: string
  premium: number
  /** The sum over its lectures, changed in the transaction that changes them. */
  duration_ms: number
  lectures_count: number
  created_at: number
  updated_at: number
  /** As in media. */
  deleted_at: Generated<number | null>
}

export interface LecturesTable {
  id: string
  course_id: string
  media_id: string
  title: string
  description: string
  category: string
  subcategory: string
  /** 1 for the first, without gaps. */
  position: number
  created_at: number
  updated_at: number
  /** As in media. */
  deleted_at: Generated<number | null>
}

export interface SubscriptionsTable {
  id: string
  student_id: string
  course_id: string
  created_at: number
  /** By which a student's courses are listed. */
  course_created_at: number
}

export interface LectureProgressTable {
  lecture_id: string
  student_id: string
  position_ms: number
  watched_ms: number
  updated_at: number
  /** 1 for each figure of its lecture that counts this row, changed in the transaction that changes the figure. */
  started: Generated<number>
  completed: Generated<number>
  stopped: Generated<number>
}

/** The sums of the flags of its progress rows; no row while nobody has started it. */
export interface LectureTalliesTable {
  lecture_id: string
  started: number
  completed: number
  stopped: number
}

/** Totals of lists and bytes of accounts, changed in the transaction that changes what they count. */
export interface CountersTable {
  name: string
  value: number
}

/** What is still to be done for a media, or for what is left of it. */
export interface JobsTable {
  id: string
  kind: 'package' | 'mux-ingest' | 'mux-removal' | 'delete-media' | 'delete-course' | 'tally-course'
  /** Null where the media may be gone. */
  media_id: string | null
  /** Whose media it is for: accounts take turns. */
  owner_id: Generated<string | null>
  turn: Generated<number>
  /** The course that a job of a course is for. */
  course_id: Generated<string | null>
  /** JSON: what is to be deleted at Mux. */
  removal: string | null
  /** Not to be claimed before: what is claimed is put off by a lease, which its process renews. */
  run_after: number
  failures: number
  /** How often it was begun and not ended: what was cut off by the end of its process. */
  attempts: Generated<number>
  created_at: number
}

/** One login, from which all its tokens descend: they end with its row. */
export interface SessionsTable {
  id: string
  account_id: string
  created_at: number
  /** When the last of its tokens ends. */
  expires_at: number
}

export interface RefreshTokensTable {
  /** SHA-256, base64url: 256 random bits need no slow hash. */
  token_hash: string
  session_id: string
  /** SHA-256 of what all tokens of a session begin with; null for a token that is older than families. */
  family_hash: string | null
  /** 1 once it was exchanged, of those without a family: who shows it again ends the session. */
  rotated: number
  expires_at: number
}

/** Webhook events that have been dealt with: Mux sends each at least once. */
export interface MuxEventsTable {
  id: string
  received_at: number
}

export interface ServerProcessesTable {
  id: string
  /** The public id of the secret that the process signs with. */
  current_key: string
  /** The public ids of all secrets that it knows, separated by spaces. */
  known_keys: string
  seen_at: number
}
