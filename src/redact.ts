/** A URL for logs and problem documents: without the signature of a link, the token of an HLS path, nor what else is secret in a query. */
export function redactUrl (address: string): string {
  const url = address.replace(/(\/(?:h|%68)(?:l|%6c)(?:s|%73)\/)[^/?]+/i, '$1[redacted]')
  const start = url.indexOf('?')
  if (start === -1) return url
  return url.slice(0, start) + url.slice(start).replaceAll(/([?&](?:sig|token|access_token|password)=)[^&#]*/gi, '$1[redacted]')
}
