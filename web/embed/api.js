import { readLink } from './links.js'

/**
 * How far the server's clock is ahead of this one, in milliseconds: a viewer's clock may be wrong, and links end by the
 * server's.
 */
let ahead = 0

/** What the server's clock says, in milliseconds. */
export const serverNow = () => Date.now() + ahead

/**
 * A request without credentials. Answers `{ body }`, or `{ problem }`: a problem document of the API, or one of our own
 * codes: `network`, `elsewhere`.
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
 * What is wrong with a link to a media, as a problem; undefined if nothing is. The second byte: what starts at the
 * first would count as a view. A link of Mux is verified by our server, and gets the licences that it needs: `drm`.
 */
export async function problemOf (link, mediaId) {
  if (link.token === undefined) return (await ask(link.url, link.encrypted ? {} : { range: 'bytes=1-1' })).problem
  const { body, problem } = await ask(`/embed/${mediaId}/playback?token=${link.token}`)
  link.drm = body?.drm
  return problem
}

/**
 * A fresh link to a media that anyone may watch, and what is known of it: `{ link, media }`, or `{ problem }`. It is
 * the same view as `last`, a link it goes on for.
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
  // PUBLIC_URL may name another host than the one this page was opened by; the link is as good here.
  const { pathname, search } = new URL(body.stream_url)
  return { media, link: readLink(location.origin + pathname + search, mediaId, location.origin) }
}
