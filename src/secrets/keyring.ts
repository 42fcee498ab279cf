import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { makeFolder, syncFolder } from '../storage/durable-folder.js'

/** One key of a ring: `id` is public (it travels as `kid`), `key` is 32 secret bytes. */
export interface RingKey {
  id: string
  key: Buffer
}

/** The keys of one purpose: `current` signs, all of them verify. */
export interface Keyring {
  current: RingKey
  /** The ids of all keys, the current one first. */
  ids: string[]
  find(id: string): RingKey | undefined
}

export type KeyPurpose = 'link' | 'jwt' | 'media' | 'viewer-address'

/** The master secrets of this server; feature keys are derived from them and never are the secret itself. */
export interface Secrets {
  keyring(purpose: KeyPurpose): Keyring
}

/**
 * The server's secrets: `SECRET_KEY` and its predecessors, or the one kept in DATA_DIR/secret.key, which is made on
 * the first start (mode 0600, exactly one however many processes start at once).
 */
export function loadSecrets (config: Pick<Config, 'secretKey' | 'secretKeysPrevious' | 'dataDir'>): Secrets {
  const masters = [config.secretKey ?? keptSecret(config.dataDir), ...config.secretKeysPrevious]
  return { keyring: (purpose) => deriveKeyring(masters, purpose) }
}

/** HKDF-SHA256 (RFC 5869) sub-keys of one purpose, newest first; the id names the master, not the purpose. */
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

/** A file that was cut or emptied must not become the key of everything. */
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
  // Written whole beside its place, then linked there: link() fails if another process was first, and then its secret
  // is the one.
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
