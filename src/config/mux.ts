import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'

/** A Mux account. The fields have the names of the Mux dashboard. */
export interface MuxConfig {
  tokenId: string
  tokenSecret: string
  signingKeyId: string
  /** The RSA key that signs playback tokens. */
  privateKey: KeyObject
  webhookSecret: string
  /** If set, DRM protects new media. Otherwise signed URLs protect them. */
  drmConfigurationId: string | undefined
  /** Without a trailing slash. */
  baseUrl: string
}

interface MuxVariables {
  VIDEO_PROVIDER: string
  MUX_TOKEN_ID?: string
  MUX_TOKEN_SECRET?: string
  MUX_SIGNING_KEY_ID?: string
  MUX_PRIVATE_KEY?: string
  MUX_WEBHOOK_SECRET?: string
  MUX_DRM_CONFIGURATION_ID?: string
  MUX_BASE_URL: string
}

const REQUIRED = [
  'MUX_TOKEN_ID',
  'MUX_TOKEN_SECRET',
  'MUX_SIGNING_KEY_ID',
  'MUX_PRIVATE_KEY',
  'MUX_WEBHOOK_SECRET'
] as const
/** RFC 7518, 3.3. */
const MIN_KEY_BITS = 2048

/**
 * Returns the Mux account of an environment; undefined if no variable of it is set. With VIDEO_PROVIDER=local, the
 * account still serves existing media, so all its variables are required. Adds missing and invalid variables to
 * `problems`, without secret values.
 */
export function muxConfig (read: MuxVariables, problems: string[]): MuxConfig | undefined {
  const missing = REQUIRED.filter((name) => read[name] === undefined)
  if (!URL.canParse(read.MUX_BASE_URL) || !/^https?:$/.test(new URL(read.MUX_BASE_URL).protocol)) {
    problems.push('MUX_BASE_URL must be an address such as https://api.mux.com')
  }
  if (read.VIDEO_PROVIDER !== 'mux' && missing.length === REQUIRED.length) return undefined
  const why = read.VIDEO_PROVIDER === 'mux' ? 'VIDEO_PROVIDER=mux' : 'a Mux account: another variable of Mux is set'
  for (const name of missing) problems.push(`${name} is required with ${why}`)
  const privateKey = read.MUX_PRIVATE_KEY === undefined ? undefined : readPrivateKey(read.MUX_PRIVATE_KEY, problems)
  if (missing.length > 0 || privateKey === undefined) return undefined
  return Object.freeze({
    tokenId: read.MUX_TOKEN_ID!,
    tokenSecret: read.MUX_TOKEN_SECRET!,
    signingKeyId: read.MUX_SIGNING_KEY_ID!,
    privateKey,
    webhookSecret: read.MUX_WEBHOOK_SECRET!,
    drmConfigurationId: read.MUX_DRM_CONFIGURATION_ID,
    baseUrl: read.MUX_BASE_URL.replace(/\/+$/, '')
  })
}

/** Reads a private key in the form that Mux exports: a PEM file in base64. */
function readPrivateKey (text: string, problems: string[]): KeyObject | undefined {
  const wrong = (what: string): undefined => {
    problems.push(
      `MUX_PRIVATE_KEY ${what}: it must be the RSA private key of the signing key, as PEM in base64, as Mux ` +
        'shows it'
    )
  }
  if (text.includes('-----BEGIN')) return wrong('is a PEM file that is not in base64')
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(text)) return wrong('is not base64')
  const pem = Buffer.from(text, 'base64').toString('latin1')
  const [, kind] = /-----BEGIN ([A-Z ]+)-----/.exec(pem) ?? []
  if (kind === undefined) return wrong('holds no PEM file, or is cut off')
  if (!kind.endsWith('PRIVATE KEY')) return wrong(`holds a ${kind.toLowerCase()}, not a private key`)
  if (kind.startsWith('ENCRYPTED')) return wrong('holds a private key that is locked by a password')
  let key
  try {
    key = createPrivateKey(pem)
  } catch {
    return wrong('holds a private key that is damaged or cut off')
  }
  if (key.asymmetricKeyType !== 'rsa') return wrong(`holds a key of the kind ${key.asymmetricKeyType}`)
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (bits < MIN_KEY_BITS) return wrong(`holds a key of ${bits} bits, which is too short`)
  return signs(key) ? key : wrong('holds a private key that is damaged or cut off')
}

/** Returns true if the key signs correctly. An altered number in a key is detected only by its use. */
function signs (key: KeyObject): boolean {
  try {
    const text = Buffer.from('playgate')
    return verify('sha256', text, createPublicKey(key), sign('sha256', text, key))
  } catch {
    return false
  }
}
