import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { makeFolder, syncFolder } from '../storage/durable-folder.js'

/** A key of a keyring. `id` is public: links and tokens contain it as `kid`. `key` is 32 secret bytes. */
export interface RingKey {
  id: string
  key: Buffer
}

/** The keys of one purpose. `current` signs, and all keys verify. */
export interface Keyring {
  current: RingKey
  /** The ids of all keys. The current key comes first. */
  ids: string[]
  find(id: string): RingKey | undefined
}

export type KeyPurpose = 'link' | 'jwt' | 'media' | 'viewer-address' | 'idempotency' | 'upload-grant'

/** The master secrets of this server. The key of each purpose is derived from them, and is never the secret itself. */
export interface Secrets {
  keyring(purpose: KeyPurpose): Keyring
}

/**
 * Loads `SECRET_KEY` and the previous secrets. Without `SECRET_KEY`, it uses DATA_DIR/secret.key, which the first start
 * creates with mode 0600. Processes that start together create only one file.
 */
export function loadSecrets (config: Pick<Config, 'secretKey' | 'secretKeysPrevious' | 'dataDir'>): Secrets {
  const masters = [config.secretKey ?? keptSecret(config.dataDir), ...config.secretKeysPrevious]
  return { keyring: (purpose) => deriveKeyring(masters, purpose) }
}

/**
 * Derives the keys of one purpose by HKDF-SHA256 (RFC 5869), newest first. The id identifies the master, not the
 * purpose.
 */
function deriveKeyring (masters: string[], purpose: KeyPurpose): Keyring {
  const ring = masters.map((master) => ({
    id: createHash('sha256').update(derive(master, 'key-id')).digest('base64url').slice(0, 8),
    key: derive(master, purpose)
  }))
  const byId = new Map(ring.map((entry) => [entry.id, entry]))
  return { current: ring[0]!, ids: ring.map(({ id }) => id), find: (id) => byId.get(id) }
}

function derive (master: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', master, 'playgate', purpose, 32))
}

/** Refuses a truncated or empty file, so that it does not become the key of the server. */
function checked (secret: string, path: string): string {
  if (secret.length < 32) {
    throw new Error(
      `${path} holds no secret of 32 characters or more: restore it, or remove it to have a new one made (which ` +
        'ends all links, tokens and protected streams)'
    )
  }
  return secret
}

function keptSecret (dataDir: string): string {
  const path = join(dataDir, 'secret.key')
  makeFolder(dataDir)
  try {
    return checked(readFileSync(path, 'utf8').trim(), path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  // Writes a complete draft, then links it to the final path. link() fails if another process was first; the secret of
  // that process is then used.
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeSync(file, randomBytes(48).toString('base64url') + '\n')
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  try {
    linkSync(draft, path)
    syncFolder(dataDir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    unlinkSync(draft)
  }
  return readFileSync(path, 'utf8').trim()
}
