/**
 * A member of a dictionary (RFC 8941, 3.2) whose value is a byte sequence, as in all fields of RFC 9530. Parameters may
 * follow.
 */
const MEMBER = /^([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;.*)?$/
const SHA256_BYTES = 32

/**
 * Returns the SHA-256 of a `Repr-Digest` header in hex (RFC 9530, 3), or `malformed`. `sha256` is undefined if the
 * header has only other algorithms, which a recipient may ignore (RFC 9530, 2).
 */
export function parseReprDigest (header: string): { sha256: string | undefined } | 'malformed' {
  let sha256: string | undefined
  for (const member of header.split(',')) {
    const [, algorithm, value] = MEMBER.exec(member.trim()) ?? []
    if (algorithm === undefined) return 'malformed'
    if (algorithm !== 'sha-256') continue
    const digest = Buffer.from(value!, 'base64')
    if (digest.length !== SHA256_BYTES || digest.toString('base64') !== value) return 'malformed'
    sha256 = digest.toString('hex')
  }
  return { sha256 }
}
