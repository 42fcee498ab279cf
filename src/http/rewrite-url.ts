/**
 * All the addresses under which a route answers, made one before routing: `/api/v1` in front, `/media/media…` for
 * `/media…`, `/media/{id}/stream` for `/media/stream/{id}`, and a slash at the end. The query stays as it was sent.
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
