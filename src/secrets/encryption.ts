import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Keyring } from './keyring.js'

/** NIST SP 800-38D recommends 96 bits for GCM. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Encrypts a secret for the database by AES-256-GCM with the current key. Returns `<key id>.<base64url>`. The secret is
 * bound to `what`: {@link unseal} fails with another value.
 */
export function seal (secret: Buffer, what: string, { current }: Keyring): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', current.key, nonce).setAAD(Buffer.from(what))
  const sealed = Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
  return `${current.id}.${sealed.toString('base64url')}`
}

/**
 * Decrypts a secret, also if it was sealed with a previous key. **Throws** if its key is not in the keyring, or if it
 * is bound to a different `what`.
 */
export function unseal (stored: string, what: string, keys: Keyring): Buffer {
  const [id = '', text = ''] = stored.split('.')
  const ring = keys.find(id)
  if (ring === undefined) throw new Error('the secret of this key is neither SECRET_KEY nor in SECRET_KEYS_PREVIOUS')
  const sealed = Buffer.from(text, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', ring.key, sealed.subarray(0, NONCE_BYTES))
    .setAAD(Buffer.from(what))
    .setAuthTag(sealed.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
