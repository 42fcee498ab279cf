/**
 * Maps all URLs of a route to one URL before routing. Removes `/api/v1` at the start and a slash at the end. Replaces
 * `/media/media…` by `/media…`, and `/media/{id}/stream` by `/media/stream/{id}`. The query stays unchanged.
 */
export function rewriteUrl (url: string): string {
  const start = url.indexOf('?')
  let path = start === -1 ? url : url.slice(0, start)
  if (path.startsWith('/api/v1') && (path.length === 7 || path[7] === '/')) path = path.slice(7)
  if (path.startsWith('/media/media') && (path.length === 12 || path[12] === '/')) path = path.slice(6)
  if (path.length > 1 && path.endsWith('/')) path = path.slice(0, -1)
  if (path.endsWith('/stream')) path = path.replace(/^\/media\/([^/]+)\/stream$/, '/media/stream/$1')
  return (path === '' ? '/' : path) + (start === -1 ? '' : url.slice(start))
}
