/** What an upload may be, for error texts. */
export const ACCEPTED_FORMATS = 'MP4, AVI, MOV, MKV, WebM, M4V, MP3, WAV, M4A, AAC, OGG, Opus or FLAC'

/** The errors of uploads, by code. src/schemas/problem-codes.ts has all others. */
export const uploadProblems = {
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
  tus_version_unsupported: {
    status: 412,
    title: 'tus version unsupported',
    detail: 'Send the header Tus-Resumable: 1.0.0.'
  },
  upload_too_large: { status: 413, title: 'Upload too large', detail: 'The file is larger than this server accepts.' },
  quota_exceeded: { status: 413, title: 'Quota exceeded', detail: 'The file is larger than the rest of your quota.' },
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
  upload_locked: {
    status: 423,
    title: 'Upload locked',
    detail: 'Another request for this upload is in progress. Try again shortly.'
  },
  too_many_uploads: {
    status: 429,
    title: 'Too many uploads',
    detail: 'Too many concurrent uploads. Wait until one ends.'
  },
  too_many_open_uploads: {
    status: 429,
    title: 'Too many open uploads',
    detail: 'This account has too many open uploads. Finish one, or delete it.'
  },
  checksum_mismatch: {
    status: 460,
    title: 'Checksum mismatch',
    detail: 'The received part does not match Upload-Checksum. It was not stored. Send it again.'
  }
} as const
