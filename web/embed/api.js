import { readLink } from './links.js'

/**
 * The server's time minus the time of this device, in milliseconds. Links expire by the server's clock, and a viewer's
 * clock may be wrong.
 */
let ahead = 0

/** Returns the server's time, in milliseconds since 1970. */
export const serverNow = () => Date.now() + ahead

/**
 * Sends a request without credentials. Resolves with `{ body }` or `{ problem }`. A problem is a problem document of
 * the API, or has a code of the player: `network`, `elsewhere` or `unknown`.
 */
async function ask (address, headers = {}) {
  try {
    const reply = await fetch(address, { headers, credentials: 'omit', cache: 'no-store', redirect: 'manual' })
    if (reply.type === 'opaqueredirect') return { problem: { code: 'elsewhere' } }
    const date = Date.parse(reply.headers.get('date') ?? '')
    if (!Number.isNaN(date)) ahead = date - Date.now()
    const type = reply.headers.get('content-type') ?? ''
    if (reply.ok) return { body: type.startsWith('application/json') ? await reply.json() : void reply.body?.cancel() }
    if (type.startsWith('application/problem+json')) return { problem: await reply.json() }
    return { problem: { code: reply.status >= 500 ? 'network' : 'unknown' } }
  } catch {
    return { problem: { code: 'network' } }
  }
}

/**
 * Resolves with the problem of a link to a media, or with undefined for a valid link. Requests the second byte, because
 * a request for the first byte counts as a view. For a link of Mux, our server verifies the token and returns the
 * licence URLs for `drm`.
 */
export async function problemOf (link, mediaId) {
  if (link.token === undefined) return (await ask(link.url, link.encrypted ? {} : { range: 'bytes=1-1' })).problem
  const { body, problem } = await ask(`/embed/${mediaId}/playback?token=${link.token}`)
  link.drm = body?.drm
  return problem
}

/**
 * Resolves with title, poster, captions and chapters of a link, with addresses on the host of this page. Resolves with
 * undefined for a link of Mux, and after a problem.
 */
export async function detailsOf (link) {
  if (link.token !== undefined) return undefined
  const address =
    link.base === undefined
      ? link.url.replace(/\/media\/stream\/([^/?]+)\?/, '/media/$1/player.json?')
      : `${link.base}player.json`
  const { body } = await ask(address)
  return (
    body && {
      ...body,
      poster_url: onThisHost(body.poster_url),
      captions: body.captions.map((track) => ({ ...track, url: onThisHost(track.url) })),
      chapters_url: onThisHost(body.chapters_url)
    }
  )
}

/** The host of PUBLIC_URL may differ from the host of this page. A link is also valid on the host of this page. */
function onThisHost (address) {
  if (address === null) return null
  const { pathname, search } = new URL(address)
  return location.origin + pathname + search
}

/**
 * Creates a link to a media that anyone may watch. Resolves with `{ link, media }` or `{ problem }`. The new link
 * continues the view of `last`, if `last` is given.
 */
export async function mint (mediaId, last) {
  const { body: media, problem: hidden } = await ask(`/media/${mediaId}`)
  if (media === undefined) return { problem: hidden }
  const { body, problem } = await ask(
    `/media/${mediaId}/stream-url?expires_in=auto` +
      (last === undefined ? '' : `&continues=${encodeURIComponent(last.url)}`)
  )
  if (body === undefined) return { media, problem: { ...problem, progress: media.progress } }
  const hosted = readLink(body.stream_url, mediaId, location.origin)
  if (hosted?.token !== undefined) return { media, link: { ...hosted, drm: body.drm } }
  return { media, link: readLink(onThisHost(body.stream_url), mediaId, location.origin) }
}
