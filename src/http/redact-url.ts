/**
 * Matches text with the length and the characters of a signature, a token or a key: at least 40 characters of
 * base64url, percent-encoded or not. A UUID has 36.
 */
const SECRETS = /(?:[\w-]|%(?:2d|3\d|4[1-9a-f]|5[\daf]|6[1-9a-f]|7[\da])){40,}/gi

/**
 * Removes secrets from a URL for logs and problem documents: signatures of links, tokens of HLS paths and other
 * secrets. Misspelled and broken URLs are redacted too.
 */
export function redactUrl (address: string): string {
  return address
    .replace(/(\/(?:h|%68)(?:l|%6c)(?:s|%73)\/)[^/?]+/i, '$1[redacted]')
    .replaceAll(/([?&](?:sig|token|access_token|password)=)[^&#]*/gi, '$1[redacted]')
    .replaceAll(SECRETS, '[redacted]')
}
