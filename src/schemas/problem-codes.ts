import { uploadProblems } from './upload-problem-codes.js'

/**
 * Every error that the API can return, by its stable code. The pages under `/problems/<code>`, the OpenAPI examples and
 * the problem documents use this table.
 */
export const problems = {
  ...uploadProblems,
  bad_request: { status: 400, title: 'Bad request', detail: 'The request could not be understood.' },
  malformed_json: { status: 400, title: 'Malformed JSON', detail: 'The body is not valid JSON.' },
  malformed_multipart: {
    status: 400,
    title: 'Malformed multipart body',
    detail: 'The multipart body is malformed or lacks its closing boundary.'
  },
  idempotency_key_malformed: {
    status: 400,
    title: 'Idempotency key malformed',
    detail: 'The Idempotency-Key header is not 1 to 255 visible ASCII characters without quotes, commas or backslashes.'
  },
  not_authenticated: { status: 401, title: 'Not authenticated', detail: 'Not authenticated' },
  invalid_token: { status: 401, title: 'Invalid token', detail: 'Could not validate credentials' },
  invalid_credentials: { status: 401, title: 'Invalid credentials', detail: 'Invalid credentials' },
  invalid_refresh_token: {
    status: 401,
    title: 'Invalid refresh token',
    detail: 'This refresh token is not valid, or was used before. Log in again.'
  },
  wrong_password: { status: 403, title: 'Wrong password', detail: 'The current password is wrong.' },
  account_disabled: {
    status: 403,
    title: 'Account disabled',
    detail: 'This account is disabled. Ask an administrator.'
  },
  signup_closed: {
    status: 403,
    title: 'Signup closed',
    detail: 'This server does not accept new accounts. Ask an administrator for one.'
  },
  role_required: { status: 403, title: 'Role required', detail: 'Your role does not allow this.' },
  scope_required: {
    status: 403,
    title: 'Scope required',
    detail: 'This API key lacks the scope that this needs, or no API key may do this.'
  },
  key_address_refused: {
    status: 403,
    title: 'Key address refused',
    detail: 'This API key is not accepted from your address.'
  },
  not_owner: { status: 403, title: 'Not the owner', detail: 'Only the owner or an administrator may do this.' },
  reset_link_invalid: {
    status: 403,
    title: 'Reset link invalid',
    detail: 'This link was used before, has expired, or is not complete. Ask an administrator for a new one.'
  },
  stream_link_invalid: {
    status: 403,
    title: 'Stream link invalid',
    detail: 'This link is not valid: it was changed, or copied only in part. In a shell, put it in quotes.'
  },
  stream_link_expired: {
    status: 403,
    title: 'Stream link expired',
    detail: 'This link has expired. Ask for a new one.'
  },
  stream_link_revoked: { status: 403, title: 'Stream link revoked', detail: 'This link has been revoked.' },
  metrics_forbidden: {
    status: 403,
    title: 'Metrics forbidden',
    detail: 'Send the METRICS_TOKEN. Outside production, without a METRICS_TOKEN, local requests need none.'
  },
  route_not_found: { status: 404, title: 'No such route', detail: 'This URL does not exist.' },
  not_found: { status: 404, title: 'Not found', detail: 'The resource does not exist, or you may not see it.' },
  method_not_allowed: { status: 405, title: 'Method not allowed', detail: 'This URL does not support this method.' },
  media_protected: {
    status: 403,
    title: 'Media protected',
    detail: 'This media can only be played as an encrypted stream.'
  },
  webhook_signature_invalid: {
    status: 403,
    title: 'Webhook signature invalid',
    detail: 'This webhook is not signed by Mux, or its signature is older than five minutes.'
  },
  not_subscribed: {
    status: 403,
    title: 'Not subscribed',
    detail: 'Access denied. You are not subscribed to this course.'
  },
  request_timeout: { status: 408, title: 'Request timeout', detail: 'The request did not arrive in time.' },
  email_taken: { status: 409, title: 'Email taken', detail: 'An account with this email already exists.' },
  mobile_number_taken: {
    status: 409,
    title: 'Mobile number taken',
    detail: 'An account with this mobile number already exists.'
  },
  last_admin: {
    status: 409,
    title: 'Last administrator',
    detail: 'This is the last administrator who can log in. Create another one first.'
  },
  too_many_keys: {
    status: 409,
    title: 'Too many keys',
    detail: 'An account has at most 50 API keys. Revoke one first.'
  },
  media_not_ready: {
    status: 409,
    title: 'Media not ready',
    detail: 'This media is still being packaged. Try again shortly.'
  },
  media_in_use: {
    status: 409,
    title: 'Media in use',
    detail: 'A lecture uses this media. Delete the lecture instead.'
  },
  too_many_captions: {
    status: 409,
    title: 'Too many captions',
    detail: 'A media has at most 50 tracks of captions. Delete one first.'
  },
  protection_required: {
    status: 409,
    title: 'Protection required',
    detail: 'A lecture uses this media, and lectures of its course are protected. Change the course instead.'
  },
  already_subscribed: {
    status: 409,
    title: 'Already subscribed',
    detail: 'You are already subscribed to this course.'
  },
  idempotency_key_in_use: {
    status: 409,
    title: 'Idempotency key in use',
    detail: 'The first request with this Idempotency-Key is still in progress. Try again after the time in Retry-After.'
  },
  length_required: { status: 411, title: 'Length required', detail: 'Send the size of the body as Content-Length.' },
  precondition_failed: {
    status: 412,
    title: 'Precondition failed',
    detail: 'The file does not match If-Match or If-Unmodified-Since.'
  },
  payload_too_large: { status: 413, title: 'Payload too large', detail: 'The body is larger than this URL accepts.' },
  uri_too_long: { status: 414, title: 'URI too long', detail: 'The URL is too long.' },
  unsupported_content_type: {
    status: 415,
    title: 'Unsupported content type',
    detail: 'This URL does not accept this content type: most URLs accept application/json.'
  },
  range_not_satisfiable: {
    status: 416,
    title: 'Range not satisfiable',
    detail: 'The range starts past the end of the file.'
  },
  validation_failed: { status: 422, title: 'Validation failed', detail: 'Some fields are not valid.' },
  idempotency_key_reused: {
    status: 422,
    title: 'Idempotency key reused',
    detail: 'This Idempotency-Key was used for another request. Use a new key for a new request.'
  },
  batch_failed: { status: 422, title: 'Batch failed', detail: 'None of the lectures could be added.' },
  rate_limit_exceeded: { status: 429, title: 'Rate limit exceeded', detail: 'Too many requests.' },
  client_blocked: {
    status: 429,
    title: 'Client blocked',
    detail: 'Too many requests for too long. Try again after the time in Retry-After.'
  },
  too_many_streams: {
    status: 429,
    title: 'Too many streams',
    detail: 'Too many concurrent streams. Wait until one ends.'
  },
  headers_too_large: { status: 431, title: 'Headers too large', detail: 'The request headers are too large.' },
  internal_error: {
    status: 500,
    title: 'Internal error',
    detail: 'The request failed in the server. Its log has the details under the request id.'
  },
  overloaded: { status: 503, title: 'Overloaded', detail: 'The server is busy. Try again shortly.' },
  database_unavailable: {
    status: 503,
    title: 'Database unavailable',
    detail: 'The database is not available. Try again shortly.'
  },
  secret_key_missing: {
    status: 503,
    title: 'Secret key missing',
    detail: 'This server does not know the SECRET_KEY of another server. Try again: another server may respond.'
  },
  video_provider_missing: {
    status: 503,
    title: 'Video provider missing',
    detail: 'The video provider of this media is not configured on this server.'
  },
  starting: {
    status: 503,
    title: 'Starting',
    detail: 'The server is warming up: the first requests are slow. Try again shortly.'
  },
  shutting_down: { status: 503, title: 'Shutting down', detail: 'The server is stopping. Try again shortly.' },
  storage_unavailable: {
    status: 503,
    title: 'Storage unavailable',
    detail: 'The server cannot store files at the moment. Stored files can still be read.'
  },
  storage_full: { status: 507, title: 'Storage full', detail: 'The storage of the server is full.' }
} as const satisfies Record<string, { status: number; title: string; detail: string }>

export type ProblemCode = keyof typeof problems
