import { createHash } from 'node:crypto'
import t from 'tap'
import { parseReprDigest } from '../../../src/media/repr-digest.js'

const sha256 = createHash('sha256').update('hello').digest()
const member = `sha-256=:${sha256.toString('base64')}:`
const hex = sha256.toString('hex')

t.test('Repr-Digest, as RFC 9530 writes it', async (t) => {
  for (const header of [
    member,
    ` ${member} `,
    `${member};key=1`,
    `sha-512=:AAAA:, ${member}`,
    `${member},md5=:AAAA:`
  ]) {
    t.same(parseReprDigest(header), { sha256: hex }, header)
  }
  for (const header of ['sha-512=:AAAA:', 'unixsum=::']) t.same(parseReprDigest(header), { sha256: undefined }, header)
  for (const header of [
    '',
    ',',
    hex,
    `sha-256=${hex}`,
    `sha-256=${sha256.toString('base64')}`,
    'sha-256=::',
    'sha-256=:AAAA:',
    `sha-256=:${sha256.toString('base64url')}:`,
    `sha-256=:${sha256.toString('base64').replace('=', '')}:`,
    `SHA-256=:${sha256.toString('base64')}:`,
    `${member},`,
    'sha-256'
  ]) {
    t.equal(parseReprDigest(header), 'malformed', header)
  }
})
