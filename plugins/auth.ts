import jwt, { type JWT } from '@fastify/jwt'
import type { FastifyReply, FastifyRequest, RouteOptions, preParsingAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import { hash, randomUUID } from 'node:crypto'
import { validate as isUuid } from 'uuid'
import type { Accounts } from '../src/accounts/accounts.js'
import type { Role, Viewer } from '../src/accounts/schema.js'
import type { Grant, Sessions } from '../src/accounts/sessions.js'
import { ApiError } from '../src/errors.js'
import { confirmRefusal } from '../src/cache/record-cache.js'
import { addProblems } from '../src/schemas/problem.js'
import type { Keyring, Secrets } from '../src/secrets/keyring.js'
import { MINUTE, SECOND } from '../src/time.js'
import type { Config } from '../src/config/config.js'

interface Options {
  accounts: Accounts
  sessions: Sessions
  secrets: Secrets
  config: Pick<Config, 'accessTokenSeconds'>
}
/** The account and the session of a token. Tokens of older versions name no session. */
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

/**
 * Who may call a route. `account`: only with a valid token. `{ roles }`: only with a token of one of these roles.
 * `optional`: with or without a token, but an invalid token is refused. `handler`: the route identifies the caller
 * itself, since something else than a token may open it too.
 */
export type AuthRule = 'account' | 'optional' | 'handler' | { readonly roles: readonly Role[] }

const ISSUER = 'playgate'
const AUDIENCE = 'playgate-api'
const CACHED_TOKENS = 10_000
/**
 * Three parts, the last of 32 bytes: its last character carries two unused bits, which a decoder would let be anything.
 */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]$/
/** RFC 6750, 2.1; the scheme in any case (RFC 9110, 11.1). */
const BEARER = /^bearer(?: +(.*))?$/i
/** The largest difference between the clocks of several machines. */
const MAX_SKEW_MS = MINUTE

const WITH_TOKEN: ReadonlyArray<Record<string, string[]>> = [{ bearer: [] }, { login: [] }]

/**
 * Identifies the caller of each route by its {@link AuthRule}, before a body is read and after the rate limits, and
 * describes it. The role in a token is not trusted: role and state of account and session are read from the database by
 * one query, and are at most a second old.
 */
export default fp<Options>(
  async (app, { accounts, sessions, secrets, config }) => {
    const keys = secrets.keyring('jwt')
    await app.register(jwt, {
      secret: keys.current.key,
      decode: { complete: true },
      sign: {
        algorithm: 'HS256',
        iss: ISSUER,
        aud: AUDIENCE,
        expiresIn: config.accessTokenSeconds,
        kid: keys.current.id
      },
      verify: {
        algorithms: ['HS256'],
        allowedIss: ISSUER,
        allowedAud: AUDIENCE,
        requiredClaims: ['sub', 'iat', 'exp', 'jti', 'iss', 'aud']
      }
    })
    const { identify, viewerOf } = createIdentifier(createTokenVerifier(app.jwt, keys), accounts, sessions)

    app.decorateRequest('viewer', undefined)
    app.decorateRequest('sessionId', undefined)
    app.decorateRequest('requireViewer', function (this: FastifyRequest): Viewer {
      if (this.viewer === undefined) throw new ApiError('not_authenticated')
      return this.viewer
    })
    app.decorate('identify', (request: FastifyRequest) => identify(request))
    app.decorate('identifyAgain', (request: FastifyRequest) => viewerOf(request.requireViewer().id, request.sessionId))
    app.decorateReply('grant', function (this: FastifyReply, { id, role }: Viewer, { sessionId, refreshToken }: Grant) {
      // RFC 6749, 5.1.
      this.header('cache-control', 'no-store')
      const token = app.jwt.sign({ sub: id, role, sid: sessionId, jti: randomUUID() })
      return {
        access_token: token,
        token,
        token_type: 'bearer' as const,
        expires_in: config.accessTokenSeconds,
        refresh_token: refreshToken
      }
    })
    app.addHook('onRoute', (route) => {
      const rule = route.config?.auth
      route.schema = describeRule(route.schema, rule)
      if (rule === undefined || rule === 'handler') return
      route.preParsing = [ruleHook(rule, identify), ...[route.preParsing ?? []].flat()]
    })
  },
  { name: 'auth', dependencies: ['errors'] }
)

/** Returns a function that reads a token. It throws for every token that is not ours, or has expired. */
function createTokenVerifier (jwt: JWT, keys: Keyring): (token: string) => Bearer {
  /** By the SHA-256 of the token. */
  const verifiedTokens = new LRUCache<string, Bearer>({ max: CACHED_TOKENS })

  /** Accepts tokens that were signed by a previous secret too. */
  function verify (token: string): Bearer {
    if (!TOKEN.test(token)) throw new Error('the token is malformed')
    const { header } = jwt.decode<{ header: { kid?: unknown } }>(token)!
    const ring = keys.find(String(header.kid))
    if (ring === undefined) throw new Error('the token names an unknown key')
    const { sub, sid, iat, exp, jti } =
      ring.id === keys.current.id ? jwt.verify<Claims>(token) : jwt.verify<Claims>(token, { key: ring.key })
    if (typeof jti !== 'string' || typeof iat !== 'number' || iat * SECOND > Date.now() + MAX_SKEW_MS) {
      throw new Error('the token has no id, or was issued in the future')
    }
    if (!isUuid(sub)) throw new Error('the token names no account')
    if (sid !== undefined && !isUuid(sid)) throw new Error('the token names no session')
    return { sub: sub as string, sid: sid as string | undefined, expiresAt: exp * SECOND }
  }

  return (token) => {
    const name = hash('sha256', token, 'base64')
    let bearer = verifiedTokens.get(name)
    if (bearer === undefined) {
      bearer = verify(token)
      verifiedTokens.set(name, bearer)
    }
    // RFC 7519, 4.1.4: a token is expired in the second of its `exp`.
    if (bearer.expiresAt <= Date.now()) throw new Error('the token has expired')
    return bearer
  }
}

type Identify = (request: FastifyRequest, roles?: readonly Role[]) => Promise<Viewer | undefined>

function createIdentifier (verify: (token: string) => Bearer, accounts: Accounts, sessions: Sessions) {
  async function viewerOf (sub: string, sid: string | undefined, roles?: readonly Role[]): Promise<Viewer> {
    return await confirmRefusal(async (since) => {
      const viewer = await (sid === undefined ? accounts.viewer(sub, since) : sessions.viewer(sid, since))
      if (viewer?.id !== sub) throw new ApiError('invalid_token')
      if (roles !== undefined && !roles.includes(viewer.role)) {
        throw new ApiError('role_required', { detail: `This is for ${roles.join(' and ')} accounts.` })
      }
      return viewer
    })
  }

  const identify: Identify = async (request, roles) => {
    const credentials = BEARER.exec(request.headers.authorization ?? '')
    if (credentials === null) return undefined
    let bearer
    try {
      bearer = verify(credentials[1] ?? '')
    } catch (error) {
      throw new ApiError('invalid_token', { cause: error })
    }
    request.sessionId = bearer.sid
    return await viewerOf(bearer.sub, bearer.sid, roles)
  }

  return { identify, viewerOf }
}

/** A hook that identifies the caller, and refuses those that the rule excludes. */
function ruleHook (rule: Exclude<AuthRule, 'handler'>, identify: Identify): preParsingAsyncHookHandler {
  return async (request) => {
    request.viewer = await identify(request)
    if (rule === 'optional') return
    const { role } = request.requireViewer()
    // The role may come from the cache: a refusal is confirmed by the database.
    if (rule !== 'account' && !rule.roles.includes(role)) request.viewer = await identify(request, rule.roles)
  }
}

/** Adds to the description of an operation whether it needs a token, and how a token is refused. */
function describeRule (schema: RouteOptions['schema'], rule: AuthRule | undefined): RouteOptions['schema'] {
  if (rule === undefined) return schema && { security: [], ...schema }
  const described = addProblems(
    schema,
    'not_authenticated',
    'invalid_token',
    ...(typeof rule === 'object' ? (['role_required'] as const) : [])
  )
  const isOptional = rule === 'optional' || rule === 'handler'
  return described && { security: isOptional ? [...WITH_TOKEN, {}] : WITH_TOKEN, ...described }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Without a rule anyone may call the route, and no token is looked at. */
    auth?: AuthRule
  }
  interface FastifyRequest {
    /** The account of the token; undefined without one. */
    viewer: Viewer | undefined
    /** The session of the token. */
    sessionId: string | undefined
    /** Returns the account of the token. **Throws** `not_authenticated` without one. */
    requireViewer(): Viewer
  }
  interface FastifyInstance {
    /** Resolves to the account of a request's token, if it has one. **Throws** `invalid_token`. */
    identify(request: FastifyRequest): Promise<Viewer | undefined>
    /**
     * Resolves to the account of an identified request, if account and session are still valid; the token may have
     * expired meanwhile. **Throws** `invalid_token`.
     */
    identifyAgain(request: FastifyRequest): Promise<Viewer>
  }
  interface FastifyReply {
    /** Returns the tokens of a session, as replies name them, and forbids caches to keep the reply. */
    grant(
      viewer: Viewer,
      grant: Grant
    ): { access_token: string; token: string; token_type: 'bearer'; expires_in: number; refresh_token: string }
  }
}
