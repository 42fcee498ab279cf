/** What an upload may be, for error texts. */
export const ACCEPTED_FORMATS = 'MP4, AVI, MOV, MKV, WebM, M4V, MP3, WAV, M4A, AAC, OGG, Opus or FLAC'

/**
 * Every error that the API can return, by its stable code. The pages under `/problems/<code>`, the OpenAPI examples and
 * the problem documents use this table.
 */
export const problems = {
  bad_request: { status: 400, title: 'Bad request', detail: 'The request could not be understood.' },
  malformed_json: { status: 400, title: 'Malformed JSON', detail: 'The body is not valid JSON.' },
  malformed_multipart: {
    status: 400,
    title: 'Malformed multipart body',
    detail: 'The multipart body is malformed or lacks its closing boundary.'
  },
  upload_incomplete: {
    status: 400,
    title: 'Upload incomplete',
    detail: 'The body ended early: fewer bytes arrived than declared.'
  },
  digest_malformed: {
    status: 400,
    title: 'Digest malformed',
    detail: 'The Repr-Digest header is not in the form of RFC 9530, such as sha-256=:<base64>:.'
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
  upload_grant_invalid: {
    status: 403,
    title: 'Upload grant invalid',
    detail: 'This upload URL is not valid: it was changed, or copied only in part.'
  },
  upload_grant_expired: {
    status: 403,
    title: 'Upload grant expired',
    detail: 'This upload URL has expired. Ask for a new one.'
  },
  upload_grant_revoked: {
    status: 403,
    title: 'Upload grant revoked',
    detail: 'This upload URL has been revoked. Ask for a new one.'
  },
  upload_grant_origin: {
    status: 403,
    title: 'Upload from another origin',
    detail: 'This upload URL is for the pages of another origin.'
  },
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
  upload_grant_used: {
    status: 409,
    title: 'Upload grant used',
    detail: 'This upload URL was used already. Ask for a new one.'
  },
  upload_grant_in_use: {
    status: 409,
    title: 'Upload grant in use',
    detail: 'An upload by this URL is in progress. Try again after the time in Retry-After.'
  },
  too_many_upload_grants: {
    status: 409,
    title: 'Too many upload grants',
    detail: 'An account has at most 1,000 open upload grants. Revoke one first.'
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
  upload_offset_mismatch: {
    status: 409,
    title: 'Upload offset mismatch',
    detail: 'Upload-Offset is not the offset of this upload. Ask for the offset with HEAD, and continue there.'
  },
  upload_expired: {
    status: 410,
    title: 'Upload expired',
    detail: 'This upload has expired, or its bytes are lost. Create a new one.'
  },
  length_required: { status: 411, title: 'Length required', detail: 'Send the size of the body as Content-Length.' },
  precondition_failed: {
    status: 412,
    title: 'Precondition failed',
    detail: 'The file does not match If-Match or If-Unmodified-Since.'
  },
  tus_version_unsupported: {
    status: 412,
    title: 'tus version unsupported',
    detail: 'Send the header Tus-Resumable: 1.0.0.'
  },
  payload_too_large: { status: 413, title: 'Payload too large', detail: 'The body is larger than this URL accepts.' },
  upload_too_large: { status: 413, title: 'Upload too large', detail: 'The file is larger than this server accepts.' },
  quota_exceeded: { status: 413, title: 'Quota exceeded', detail: 'The file is larger than the rest of your quota.' },
  uri_too_long: { status: 414, title: 'URI too long', detail: 'The URL is too long.' },
  unsupported_content_type: {
    status: 415,
    title: 'Unsupported content type',
    detail: 'This URL does not accept this content type: most URLs accept application/json.'
  },
  media_encrypted: {
    status: 415,
    title: 'Media encrypted',
    detail: 'The file is encrypted (DRM), so this server cannot play it. Upload a file without encryption.'
  },
  media_truncated: {
    status: 415,
    title: 'Media truncated',
    detail: 'The end of the file is missing, with pictures, sound or their index. Upload the whole file.'
  },
  unsupported_media_format: {
    status: 415,
    title: 'Unsupported media format',
    detail: `The file is damaged, or not in an accepted format: ${ACCEPTED_FORMATS}.`
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
  media_type_mismatch: {
    status: 422,
    title: 'Media type mismatch',
    detail: 'The type of the file differs from the given type.'
  },
  digest_mismatch: { status: 422, title: 'Digest mismatch', detail: 'The received body does not match Repr-Digest.' },
  media_too_complex: {
    status: 422,
    title: 'Media too complex',
    detail:
      'Reading the format of this file takes too much CPU or memory. ' +
      'Remux it (ffmpeg -i in -c copy out), or remove every track but picture and sound.'
  },
  upload_parts_too_small: {
    status: 422,
    title: 'Upload parts too small',
    detail: 'This upload came in too many small parts. Send larger parts, such as 16 MiB.'
  },
  batch_failed: { status: 422, title: 'Batch failed', detail: 'None of the lectures could be added.' },
  upload_locked: {
    status: 423,
    title: 'Upload locked',
    detail: 'Another request for this upload is in progress. Try again shortly.'
  },
  rate_limit_exceeded: { status: 429, title: 'Rate limit exceeded', detail: 'Too many requests.' },
  client_blocked: {
    status: 429,
    title: 'Client blocked',
    detail: 'Too many requests for too long. Try again after the time in Retry-After.'
  },
  too_many_uploads: {
    status: 429,
    title: 'Too many uploads',
    detail: 'Too many concurrent uploads. Wait until one ends.'
  },
  too_many_streams: {
    status: 429,
    title: 'Too many streams',
    detail: 'Too many concurrent streams. Wait until one ends.'
  },
  too_many_open_uploads: {
    status: 429,
    title: 'Too many open uploads',
    detail: 'This account has too many open uploads. Finish one, or delete it.'
  },
  headers_too_large: { status: 431, title: 'Headers too large', detail: 'The request headers are too large.' },
  checksum_mismatch: {
    status: 460,
    title: 'Checksum mismatch',
    detail: 'The received part does not match Upload-Checksum. It was not stored. Send it again.'
  },
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
