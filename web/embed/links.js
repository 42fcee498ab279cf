// The formats of links (docs/embed.md). The expiry time is the first field: in the query of a plain stream, and in the
// token of an encrypted stream.
const STREAM = /^\/media\/stream\/([^/]+)$/
const QUERY = /^\?exp=([1-9]\d{0,11})(?:&[a-z]{3}=[\w-]+)+$/
const HOSTED = /^https:\/\/stream\.mux\.com\/[\w-]+\.m3u8\?token=([\w-]+\.[\w-]+\.[\w-]+)$/
const PLAYLIST = /^\/hls\/([1-9]\d{0,11})((?:\.[\w-]+)+)\/([^/]+)\/master\.m3u8$/

/**
 * Parses a link to a media. Returns `{ url, base, encrypted, expiresAt }`. `base` is the prefix of the playlist's other
 * addresses. `expiresAt` is in milliseconds of the server's clock. A link of Mux has `token` in place of `base`, and
 * only the server can check that the token belongs to `mediaId`. Other text returns undefined: only absolute links of
 * `origin` to `mediaId`, and links of Mux, are accepted.
 */
export function readLink (text, mediaId, origin) {
  if (typeof text !== 'string' || !URL.canParse(text)) return undefined
  const [, hosted] = HOSTED.exec(text) ?? []
  if (hosted !== undefined) return { url: text, token: hosted, encrypted: true, expiresAt: endOfToken(hosted) }
  const url = new URL(text)
  if (url.origin !== origin || url.username !== '' || url.password !== '' || url.hash !== '') return undefined
  const path = url.pathname + url.search
  const [, streamId] = STREAM.exec(url.pathname) ?? []
  const [, streamEnd] = QUERY.exec(url.search) ?? []
  if (streamId === mediaId && streamEnd !== undefined) {
    return { url: origin + path, encrypted: false, expiresAt: Number(streamEnd) * 1000 }
  }
  const [, end, rest, playlistId] = PLAYLIST.exec(path) ?? []
  if (playlistId !== mediaId) return undefined
  return {
    url: origin + path,
    base: `${origin}/hls/${end}${rest}/${mediaId}/`,
    encrypted: true,
    expiresAt: Number(end) * 1000
  }
}

/** Returns the expiry time of a token of Mux, or 0 if the token has none. */
function endOfToken (token) {
  try {
    return Number(JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).exp) * 1000 || 0
  } catch {
    return 0
  }
}

/** Returns the link in a page's fragment, `#src=<encoded link>`, or undefined. */
export function linkInFragment (fragment) {
  return new URLSearchParams(fragment.slice(1)).get('src') ?? undefined
}

/**
 * Returns the milliseconds until a link should be renewed: a minute before its end, or after half of the time if at
 * most two minutes are left. The result is between one second and the longest delay of a timer.
 */
export function renewIn (millisecondsLeft) {
  const wait = millisecondsLeft > 120_000 ? millisecondsLeft - 60_000 : millisecondsLeft / 2
  return Math.min(Math.max(wait, 1000), 2 ** 31 - 1)
}
