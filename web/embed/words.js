/** Messages for viewers, by the problem codes of the API and of the player. */
const words = {
  stream_link_expired: 'This link has expired.',
  stream_link_revoked: 'This link has been revoked: it does not open this media any more.',
  stream_link_invalid: 'This link is not valid.',
  media_protected: 'This link is not valid any more: the media is an encrypted stream now.',
  link_refused: 'This link is not valid: it does not lead to this media on this server.',
  not_authenticated: 'This media is not public, or does not exist. It needs a link.',
  not_found: 'This media does not exist any more.',
  network: 'The server cannot be reached. Trying again …',
  elsewhere: 'This media lives on another site, which this player may not load.',
  codec: 'This browser cannot play this media: it does not know its format or codec, or the file is damaged.',
  no_hls: 'This browser cannot play encrypted streams.',
  unknown: 'Something went wrong.'
}

/** Returns the message for a problem: `{ code, detail, error, progress }`. */
export function sentenceFor ({ code, detail, error, progress }) {
  if (error !== undefined) return `This media could not be prepared: ${error.message}`
  if (code === 'media_not_ready') {
    return (
      `This media is still being prepared${progress === undefined ? '' : ` (${progress} %)`}. It will start ` +
      'here when it is ready.'
    )
  }
  return words[code] ?? detail ?? words.unknown
}
