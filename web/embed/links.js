// A link's own words (docs/embed.md): when it ends stands first, in the query of a plain stream and in the token of an
// encrypted one.
const STREAM = /^\/media\/stream\/([^/]+)$/
const QUERY = /^\?exp=([1-9]\d{0,11})(?:&[a-z]{3}=[\w-]+)+$/
const HOSTED = /^https:\/\/stream\.mux\.com\/[\w-]+\.m3u8\?token=([\w-]+\.[\w-]+\.[\w-]+)$/
const PLAYLIST = /^\/hls\/([1-9]\d{0,11})((?:\.[\w-]+)+)\/([^/]+)\/master\.m3u8$/

/**
 * A link to a media, taken apart: `{ url, base, encrypted, expiresAt }`, `base` being what the playlist's other
 * addresses start with, `expiresAt` in milliseconds of the server's clock. One that Mux plays has `token` in place of
 * `base`: whether it leads to `mediaId`, the server has to say. Undefined for all that is not an absolute link of
 * `origin` to `mediaId`, nor of Mux. Pure.
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

/** When a token of Mux ends, as it says itself; 0 for one that says nothing. */
function endOfToken (token) {
  try {
    return Number(JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).exp) * 1000 || 0
  } catch {
    return 0
  }
}

/** The link in a page's fragment, `#src=<encoded link>`, as text; undefined if there is none. */
export function linkInFragment (fragment) {
  return new URLSearchParams(fragment.slice(1)).get('src') ?? undefined
}

/**
 * Milliseconds until a link should be renewed: a minute before its end, and half way for one that is shorter than two.
 * At most what a timer takes.
 */
export function renewIn (millisecondsLeft) {
  const wait = millisecondsLeft > 120_000 ? millisecondsLeft - 60_000 : millisecondsLeft / 2
  return Math.min(Math.max(wait, 1000), 2 ** 31 - 1)
}
