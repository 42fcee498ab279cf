import { sign, verify, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { SECOND } from '../../time.js'

/** The use of a token: the video, its pictures, or its DRM licences (Mux's `aud`). */
export type TokenUse = 'v' | 't' | 'd'

export interface SigningKey {
  id: string
  privateKey: KeyObject
  publicKey: KeyObject
}

export type TokenVerdict = { ok: true; expiresAt: number } | { ok: false; reason: 'invalid' | 'expired' }

const TOKEN = /^([\w-]+\.([\w-]+))\.([\w-]+)$/
const signLater = promisify(sign) as (algorithm: string, data: Buffer, key: KeyObject) => Promise<Buffer>

/**
 * Returns a token for one playback id (RFC 7519, RS256), which expires at `expiresAt` (Unix seconds). Mux reads `kid`
 * from the payload; other libraries read it from the header. Signing takes about a millisecond, so it runs outside the
 * main thread.
 */
export async function signPlaybackToken (
  playbackId: string,
  use: TokenUse,
  expiresAt: number,
  { id, privateKey }: Pick<SigningKey, 'id' | 'privateKey'>
): Promise<string> {
  const header = encode({ alg: 'RS256', typ: 'JWT', kid: id })
  const text = `${header}.${encode({ sub: playbackId, aud: use, exp: expiresAt, kid: id })}`
  return `${text}.${(await signLater('sha256', Buffer.from(text), privateKey)).toString('base64url')}`
}

/**
 * Verifies a token that this server signed for a video. `now` in milliseconds; `expiresAt` in Unix seconds.
 */
export function verifyPlaybackToken (
  playbackId: string,
  token: string,
  { publicKey }: Pick<SigningKey, 'publicKey'>,
  now: number
): TokenVerdict {
  const [, text, payload, signature] = TOKEN.exec(token) ?? []
  if (text === undefined || !verify('sha256', Buffer.from(text), publicKey, Buffer.from(signature!, 'base64url'))) {
    return { ok: false, reason: 'invalid' }
  }
  const { sub, aud, exp } = JSON.parse(Buffer.from(payload!, 'base64url').toString()) as {
    sub: string
    aud: string
    exp: number
  }
  if (sub !== playbackId || aud !== 'v') return { ok: false, reason: 'invalid' }
  return exp * SECOND <= now ? { ok: false, reason: 'expired' } : { ok: true, expiresAt: exp }
}

function encode (part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
