/** A URL for the log: without the signature of a link, nor what else is secret in a query. */
export function redactUrl (url: string): string {
  const start = url.indexOf('?')
  if (start === -1) return url
  return url.slice(0, start) + url.slice(start).replaceAll(/([?&](?:sig|token|access_token|password)=)[^&#]*/gi, '$1[redacted]')
}
