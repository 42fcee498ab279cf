import jwt from '@fastify/jwt'
import type { FastifyReply, FastifyRequest, preParsingAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import { hash, randomUUID } from 'node:crypto'
import { validate as isUuid } from 'uuid'
import type { Accounts } from '../src/accounts/accounts.js'
import type { Role, Viewer } from '../src/accounts/schema.js'
import type { Grant, Sessions } from '../src/accounts/sessions.js'
import { ApiError } from '../src/errors.js'
import { confirmRefusal } from '../src/cache/record-cache.js'
import type { Keyring } from '../src/secrets/keyring.js'
import { MINUTE, SECOND } from '../src/time.js'

interface Options {
  accounts: Accounts
  sessions: Sessions
  keys: Keyring
  tokenSeconds: number
}
/** Whose a token is; `sid` names the session it ends with, which tokens of older versions have none of. */
interface Bearer {
  sub: string
  sid: string | undefined
  expiresAt: number
}
interface Claims {
  sub: unknown
  sid: unknown
  iat: unknown
  exp: number
  jti: unknown
}

const ISSUER = 'playgate'
const AUDIENCE = 'playgate-api'
const CACHED_TOKENS = 10_000
/**
 * Three parts, the last of 32 bytes: its last character carries two unused bits, which a decoder would let be anything.
 */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]$/
/** RFC 6750, 2.1; the scheme in any case (RFC 9110, 11.1). */
const BEARER = /^bearer(?: +(.*))?$/i
/** By so much may the clocks of several machines differ. */
const MAX_SKEW_MS = MINUTE

/**
 * Who is asking. The hooks run before a body is read, and after the limits. What a token says of its bearer's role is
 * not believed: role and state of account and session are the database's, at most a second old, read by one query.
 */
export default fp<Options>(
  async (app, { accounts, sessions, keys, tokenSeconds }) => {
    await app.register(jwt, {
      secret: keys.current.key,
      decode: { complete: true },
      sign: { algorithm: 'HS256', iss: ISSUER, aud: AUDIENCE, expiresIn: tokenSeconds, kid: keys.current.id },
      verify: {
        algorithms: ['HS256'],
        allowedIss: ISSUER,
        allowedAud: AUDIENCE,
        requiredClaims: ['sub', 'iat', 'exp', 'jti', 'iss', 'aud']
      }
    })
    /** Tokens that were found good, by their SHA-256, until they end. */
    const judged = new LRUCache<string, Bearer>({ max: CACHED_TOKENS })

    function bearerOf (token: string): Bearer {
      const name = hash('sha256', token, 'base64')
      let bearer = judged.get(name)
      if (bearer === undefined) judged.set(name, (bearer = judge(token)))
      // RFC 7519, 4.1.4: not on its last moment either.
      if (bearer.expiresAt <= Date.now()) throw new Error('the token has expired')
      return bearer
    }

    /** Throws for anything but a token of ours that lives; one signed by a previous secret is ours too. */
    function judge (token: string): Bearer {
      if (!TOKEN.test(token)) throw new Error('the token is not in the form of one')
      const { header } = app.jwt.decode<{ header: { kid?: unknown } }>(token)!
      const ring = keys.find(String(header.kid))
      if (ring === undefined) throw new Error('the token names no key of ours')
      const { sub, sid, iat, exp, jti } =
        ring.id === keys.current.id ? app.jwt.verify<Claims>(token) : app.jwt.verify<Claims>(token, { key: ring.key })
      if (typeof jti !== 'string' || typeof iat !== 'number' || iat * SECOND > Date.now() + MAX_SKEW_MS) {
        throw new Error('the token has no id, or was issued in the future')
      }
      if (!isUuid(sub)) throw new Error('the token names no account')
      if (sid !== undefined && !isUuid(sid)) throw new Error('the token names no session')
      return { sub: sub as string, sid: sid as string | undefined, expiresAt: exp * SECOND }
    }

    async function identify (request: FastifyRequest, roles?: Role[]): Promise<Viewer | undefined> {
      const bearer = BEARER.exec(request.headers.authorization ?? '')
      if (bearer === null) return undefined
      let named
      try {
        named = bearerOf(bearer[1] ?? '')
      } catch (error) {
        throw new ApiError('invalid_token', { cause: error })
      }
      const { sub, sid } = named
      request.sessionId = sid
      return await viewerOf(sub, sid, roles)
    }

    async function viewerOf (sub: string, sid: string | undefined, roles?: Role[]): Promise<Viewer> {
      return await confirmRefusal(async (since) => {
        const viewer = await (sid === undefined ? accounts.viewer(sub, since) : sessions.viewer(sid, since))
        if (viewer?.id !== sub) throw new ApiError('invalid_token')
        if (roles !== undefined && !roles.includes(viewer.role)) {
          throw new ApiError('role_required', { detail: `This is for ${roles.join(' and ')} accounts.` })
        }
        return viewer
      })
    }

    app.decorateRequest('viewer', undefined)
    app.decorateRequest('sessionId', undefined)
    app.decorateRequest('signedIn', function (this: FastifyRequest): Viewer {
      if (this.viewer === undefined) throw new ApiError('not_authenticated')
      return this.viewer
    })
    app.decorate('identify', (request: FastifyRequest) => identify(request))
    app.decorate('identifyAgain', (request: FastifyRequest) => viewerOf(request.signedIn().id, request.sessionId))
    app.decorate('identifyAnyone', async (request: FastifyRequest) => {
      request.viewer = await identify(request)
    })
    app.decorate('requireAccount', async (request: FastifyRequest) => {
      request.viewer = await identify(request)
      request.signedIn()
    })
    app.decorate('requireRole', (...roles: Role[]): preParsingAsyncHookHandler => async (request) => {
      if (!roles.includes(request.signedIn().role)) request.viewer = await identify(request, roles)
    })
    app.decorateReply('grant', function (this: FastifyReply, { id, role }: Viewer, { sessionId, refreshToken }: Grant) {
      // RFC 6749, 5.1.
      this.header('cache-control', 'no-store')
      const token = app.jwt.sign({ sub: id, role, sid: sessionId, jti: randomUUID() })
      return {
        access_token: token,
        token,
        token_type: 'bearer' as const,
        expires_in: tokenSeconds,
        refresh_token: refreshToken
      }
    })
  },
  { name: 'auth', dependencies: ['errors'] }
)

declare module 'fastify' {
  interface FastifyRequest {
    /** Whoever sent a valid token; undefined without one. */
    viewer: Viewer | undefined
    /** The session that their token is of. */
    sessionId: string | undefined
    /** The sender of a valid token; throws `not_authenticated` without one. */
    signedIn(): Viewer
  }
  interface FastifyInstance {
    /** The sender of a request's token, if it has one; throws `invalid_token` for a bad one. */
    identify(request: FastifyRequest): Promise<Viewer | undefined>
    /**
     * The sender of a request that was identified, if account and session still are good; the token may have expired
     * meanwhile.
     */
    identifyAgain(request: FastifyRequest): Promise<Viewer>
    /** A hook: a token is optional, but a bad one is refused. */
    identifyAnyone: preParsingAsyncHookHandler
    /** A hook: only with a valid token. */
    requireAccount: preParsingAsyncHookHandler
    /** A hook, after {@link requireAccount}: only for these roles. */
    requireRole(...roles: Role[]): preParsingAsyncHookHandler
  }
  interface FastifyReply {
    /** The tokens of a session, as an answer names them; no cache may keep it. */
    grant(
      viewer: Viewer,
      grant: Grant
    ): { access_token: string; token: string; token_type: 'bearer'; expires_in: number; refresh_token: string }
  }
}
