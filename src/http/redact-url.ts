/**
 * What is as long as a signature, a token or a key, and made of the same characters: 40 of base64url, percent-encoded
 * or not. A UUID has 36.
 */
const SECRETS = /(?:[\w-]|%(?:2d|3\d|4[1-9a-f]|5[\daf]|6[1-9a-f]|7[\da])){40,}/gi

/**
 * A URL for logs and problem documents: without the signature of a link, the token of an HLS path, nor what else is
 * secret in it, however the address is spelled or broken.
 */
export function redactUrl (address: string): string {
  return address
    .replace(/(\/(?:h|%68)(?:l|%6c)(?:s|%73)\/)[^/?]+/i, '$1[redacted]')
    .replaceAll(/([?&](?:sig|token|access_token|password)=)[^&#]*/gi, '$1[redacted]')
    .replaceAll(SECRETS, '[redacted]')
}
