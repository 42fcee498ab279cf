/**
 * Every error the API can answer, by its stable code. The pages under `/problems/<code>`, the OpenAPI examples and
 * the problem documents are all made from this table.
 */
export const problems = {
  bad_request: [400, 'Bad request', 'The request could not be understood.'],
  malformed_json: [400, 'Malformed JSON', 'The body is not valid JSON.'],
  malformed_multipart: [
    400,
    'Malformed multipart body',
    'The multipart body is malformed or lacks its closing boundary.'
  ],
  upload_incomplete: [400, 'Upload incomplete', 'The body ended before all of it had arrived.'],
  digest_malformed: [
    400,
    'Digest malformed',
    'The Repr-Digest header is not in the form of RFC 9530, such as sha-256=:<base64>:.'
  ],
  not_authenticated: [401, 'Not authenticated', 'Not authenticated'],
  invalid_token: [401, 'Invalid token', 'Could not validate credentials'],
  invalid_credentials: [401, 'Invalid credentials', 'Invalid credentials'],
  invalid_refresh_token: [
    401,
    'Invalid refresh token',
    'This refresh token is not valid, or was used before. Log in again.'
  ],
  wrong_password: [403, 'Wrong password', 'The current password is not right.'],
  account_disabled: [403, 'Account disabled', 'This account is disabled. Ask an administrator.'],
  signup_closed: [403, 'Signup closed', 'This server does not take new accounts. Ask an administrator for one.'],
  role_required: [403, 'Role required', 'Your role does not allow this.'],
  not_owner: [403, 'Not the owner', 'Only the owner or an administrator may do this.'],
  stream_link_invalid: [
    403,
    'Stream link invalid',
    'This link is not valid: it was altered, or not copied whole (in a shell, put it in quotes).'
  ],
  stream_link_expired: [403, 'Stream link expired', 'This link has expired. Ask for a new one.'],
  stream_link_revoked: [403, 'Stream link revoked', 'This link has been revoked.'],
  metrics_forbidden: [
    403,
    'Metrics forbidden',
    'Metrics need the METRICS_TOKEN. Outside production, where none is set, requests from this machine need none.'
  ],
  route_not_found: [404, 'No such route', 'There is nothing at this address.'],
  not_found: [404, 'Not found', 'There is no such thing, or you may not see it.'],
  method_not_allowed: [405, 'Method not allowed', 'This address does not answer this method.'],
  media_protected: [403, 'Media protected', 'This media is played as an encrypted stream only.'],
  webhook_signature_invalid: [
    403,
    'Webhook signature invalid',
    'This webhook is not signed by Mux, or not of the last five minutes.'
  ],
  not_subscribed: [403, 'Not subscribed', 'Access denied. You are not subscribed to this course.'],
  request_timeout: [408, 'Request timeout', 'The request did not arrive in time.'],
  email_taken: [409, 'Email taken', 'An account with this email exists already.'],
  mobile_number_taken: [409, 'Mobile number taken', 'An account with this mobile number exists already.'],
  last_admin: [409, 'Last administrator', 'This is the last administrator who can log in. Make another one first.'],
  media_not_ready: [409, 'Media not ready', 'This media is still being packaged. Try again shortly.'],
  media_in_use: [409, 'Media in use', 'A lecture uses this media. Delete the lecture instead.'],
  protection_required: [
    409,
    'Protection required',
    'A lecture uses this media, and lectures of its course are protected. Change the course instead.'
  ],
  already_subscribed: [409, 'Already subscribed', 'You are subscribed to this course already.'],
  length_required: [411, 'Length required', 'The body must come with a Content-Length.'],
  precondition_failed: [
    412,
    'Precondition failed',
    'The file is not the one that If-Match or If-Unmodified-Since names.'
  ],
  payload_too_large: [413, 'Payload too large', 'The body is larger than this address takes.'],
  upload_too_large: [413, 'Upload too large', 'The file is larger than this server takes.'],
  quota_exceeded: [413, 'Quota exceeded', 'The file does not fit into what is left of your quota.'],
  uri_too_long: [414, 'URI too long', 'The address is too long.'],
  unsupported_content_type: [
    415,
    'Unsupported content type',
    'This address does not take a body of this content type: most take application/json.'
  ],
  unsupported_media_format: [
    415,
    'Unsupported media format',
    'The file is not, or not whole, in a format this server takes: MP4, AVI, MOV, MKV, WebM, M4V, MP3, WAV, M4A, AAC, OGG, Opus or FLAC.'
  ],
  range_not_satisfiable: [416, 'Range not satisfiable', 'The range starts past the end of the file.'],
  validation_failed: [422, 'Validation failed', 'Some fields are not valid.'],
  media_type_mismatch: [422, 'Media type mismatch', 'The file is not of the type that was named.'],
  digest_mismatch: [422, 'Digest mismatch', 'The body that arrived is not the one that Repr-Digest names.'],
  media_too_complex: [
    422,
    'Media too complex',
    'Reading what this file is takes more CPU or memory than a media file needs. Remux it (ffmpeg -i in -c copy out), or leave out what it carries beside picture and sound.'
  ],
  batch_failed: [422, 'Batch failed', 'None of the lectures could be added.'],
  rate_limit_exceeded: [429, 'Rate limit exceeded', 'Too many requests.'],
  client_blocked: [429, 'Client blocked', 'Too many requests for too long: blocked for a while.'],
  too_many_uploads: [429, 'Too many uploads', 'Too many uploads at once. Let one end first.'],
  too_many_streams: [429, 'Too many streams', 'Too many streams at once. Let one end first.'],
  headers_too_large: [431, 'Headers too large', 'The request headers are too large.'],
  internal_error: [500, 'Internal error', 'Something went wrong on our side. The request id finds it in the log.'],
  overloaded: [503, 'Overloaded', 'The server is busy. Try again shortly.'],
  database_unavailable: [503, 'Database unavailable', 'The database does not answer right now. Try again shortly.'],
  video_provider_missing: [
    503,
    'Video provider missing',
    'This media is played by a provider that this server is not set up for at the moment.'
  ],
  starting: [
    503,
    'Starting',
    'The server is warming up. Requests are served, but the first ones are slow. Try again shortly.'
  ],
  shutting_down: [503, 'Shutting down', 'The server is stopping. Try again shortly.'],
  storage_unavailable: [
    503,
    'Storage unavailable',
    'The server cannot store files right now. What it has can still be read.'
  ],
  storage_full: [507, 'Storage full', 'The server has no room left for this file.']
} as const satisfies Record<string, readonly [status: number, title: string, detail: string]>

export type ProblemCode = keyof typeof problems

/** One invalid field: `path` in dotted form as the client sent it, and what is wrong with it. */
export interface FieldError {
  path: string
  message: string
}

export interface ApiErrorOptions {
  /** Replaces the registry's sentence; never internal text. */
  detail?: string
  errors?: FieldError[]
  /** Members beside the standard ones of RFC 9457. */
  extra?: Record<string, unknown>
  headers?: Record<string, string>
  cause?: unknown
}

/** The one error type that routes and rules throw: a code of the registry, and what this case adds to it. */
export class ApiError extends Error {
  readonly code: ProblemCode
  readonly statusCode: number
  readonly options: ApiErrorOptions

  constructor (code: ProblemCode, options: ApiErrorOptions = {}) {
    super(options.detail ?? problems[code][2], { cause: options.cause })
    this.name = 'ApiError'
    this.code = code
    this.statusCode = problems[code][0]
    this.options = options
  }

  /** One sentence for people, with the fields at fault. */
  get summary (): string {
    const { errors } = this.options
    return errors === undefined ? this.message : errors.map(({ path, message }) => `${path} ${message}`).join('; ')
  }
}

/** Why a server does not start, in one sentence for its operator. */
export class StartupError extends Error {}

/** A media that does not exist, or that the caller may not see. Older clients read this `detail`. */
export function mediaNotFound (): ApiError {
  return new ApiError('not_found', { detail: 'Media not found' })
}

/** A 422 about one field. */
export function invalidField (path: string, message: string): ApiError {
  return new ApiError('validation_failed', { errors: [{ path, message }] })
}
