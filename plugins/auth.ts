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
/** The account and the session of a token. Tokens of older versions contain no session id. */
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
 * The callers that a route accepts. `account`: callers with a valid token. `{ roles }`: callers with a valid token of
 * one of these roles. `optional`: callers with or without a token; an invalid token is refused. `handler`: the route
 * identifies the caller itself, because a link or a refresh token may replace the access token.
 */
export type AuthRule = 'account' | 'optional' | 'handler' | { readonly roles: readonly Role[] }

const ISSUER = 'playgate'
const AUDIENCE = 'playgate-api'
const CACHED_TOKENS = 10_000
/**
 * A token has three parts. The last part encodes 32 bytes, so its last character has two unused bits. Decoders ignore
 * these bits; this pattern requires them to be zero.
 */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]$/
/** RFC 6750, section 2.1. The scheme is case-insensitive (RFC 9110, section 11.1). */
const BEARER = /^bearer(?: +(.*))?$/i
/** The largest accepted difference between the clocks of two servers. */
const MAX_SKEW_MS = MINUTE

const WITH_TOKEN: ReadonlyArray<Record<string, string[]>> = [{ bearer: [] }, { login: [] }]

/**
 * Identifies the caller of each route by its {@link AuthRule}, after the rate limits and before the body is read. Adds
 * the rule to the API description. The role in a token is not trusted: one query reads the role and the state of the
 * account and the session. Its result is at most one second old.
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

/**
 * Returns a function that verifies a token and returns its claims. The function throws if this server did not issue the
 * token, or if the token has expired.
 */
function createTokenVerifier (jwt: JWT, keys: Keyring): (token: string) => Bearer {
  /** Keys are the SHA-256 hashes of tokens. */
  const verifiedTokens = new LRUCache<string, Bearer>({ max: CACHED_TOKENS })

  /** Also accepts tokens that were signed with a previous secret. */
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

/** Returns a hook that identifies the caller, and refuses callers that the rule excludes. */
function ruleHook (rule: Exclude<AuthRule, 'handler'>, identify: Identify): preParsingAsyncHookHandler {
  return async (request) => {
    request.viewer = await identify(request)
    if (rule === 'optional') return
    const { role } = request.requireViewer()
    // The role may come from the cache, so the database confirms a refusal.
    if (rule !== 'account' && !rule.roles.includes(role)) request.viewer = await identify(request, rule.roles)
  }
}

/** Adds to the description of an operation whether it needs a token, and the errors of a refused token. */
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
    /** Without a rule, everyone may call the route, and the token is not read. */
    auth?: AuthRule
  }
  interface FastifyRequest {
    /** The account of the token; undefined without a token. */
    viewer: Viewer | undefined
    /** The session of the token. */
    sessionId: string | undefined
    /** Returns the account of the token. **Throws** `not_authenticated` without a token. */
    requireViewer(): Viewer
  }
  interface FastifyInstance {
    /** Resolves to the account of a request's token; undefined without a token. **Throws** `invalid_token`. */
    identify(request: FastifyRequest): Promise<Viewer | undefined>
    /**
     * Resolves to the account of a request that was identified before. The account and the session must still be valid;
     * the token may have expired. **Throws** `invalid_token`.
     */
    identifyAgain(request: FastifyRequest): Promise<Viewer>
  }
  interface FastifyReply {
    /** Returns the tokens of a session in the form of a response, and forbids caches to store the response. */
    grant(
      viewer: Viewer,
      grant: Grant
    ): { access_token: string; token: string; token_type: 'bearer'; expires_in: number; refresh_token: string }
  }
}
