import jwt from '@fastify/jwt'
import type { FastifyReply, FastifyRequest, RouteOptions, preParsingAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { randomUUID } from 'node:crypto'
import type { Accounts } from '../src/accounts/accounts.js'
import { hashOfApiKey, isApiKey } from '../src/accounts/api-key-text.js'
import type { ApiKeys } from '../src/accounts/api-keys.js'
import type { Role, Viewer } from '../src/accounts/schema.js'
import type { Scope } from '../src/accounts/scopes.js'
import type { Grant, Sessions } from '../src/accounts/sessions.js'
import { ApiError } from '../src/errors.js'
import { confirmRefusal } from '../src/cache/record-cache.js'
import { bearerOf } from '../src/http/bearer.js'
import { addProblems } from '../src/schemas/problem.js'
import type { Secrets } from '../src/secrets/keyring.js'
import type { Config } from '../src/config/config.js'
import { createTokenVerifier, type Bearer } from './access-tokens.js'

interface Options {
  accounts: Accounts
  sessions: Sessions
  apiKeys: ApiKeys
  secrets: Secrets
  config: Pick<Config, 'accessTokenSeconds'>
}

/**
 * The callers that a route accepts. `account`: callers with a valid token. `{ roles }`: callers with a valid token of
 * one of these roles. `optional`: callers with or without a token; an invalid token is refused. `handler`: the route
 * identifies the caller itself, because a link or a refresh token may replace the access token. An API key counts as a
 * token on the routes that name a `scope`.
 */
export type AuthRule = 'account' | 'optional' | 'handler' | { readonly roles: readonly Role[] }

const ISSUER = 'playgate'
const AUDIENCE = 'playgate-api'

const WITH_TOKEN: ReadonlyArray<Record<string, string[]>> = [{ bearer: [] }, { login: [] }]

/** Reads the account of a credential, not older than `since` (see `confirmRefusal`). */
type ReadCaller = (since: number) => Promise<Viewer | undefined>

/**
 * Identifies the caller of each route by its {@link AuthRule}, after the rate limits and before the body is read. Adds
 * the rule and the scope to the API description. The role in a token is not trusted: one query reads the role and the
 * state of the account and the session. Its result is at most one second old.
 */
export default fp<Options>(
  async (app, options) => {
    const { secrets, config } = options
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
    const { identify, identifyAgain } = createIdentifier(createTokenVerifier(app.jwt, keys), options)

    app.decorateRequest('viewer', undefined)
    app.decorateRequest('sessionId', undefined)
    app.decorateRequest('usesApiKey', false)
    app.decorateRequest('readCaller', undefined)
    app.decorateRequest('requireViewer', function (this: FastifyRequest): Viewer {
      if (this.viewer === undefined) throw new ApiError('not_authenticated')
      return this.viewer
    })
    app.decorate('identify', (request: FastifyRequest) => identify(request))
    app.decorate('identifyAgain', identifyAgain)
    app.decorateReply('grant', function (this: FastifyReply, { id, role }: Viewer, { sessionId, refreshToken }: Grant) {
      // RFC 6749, section 5.1: tokens must not be cached.
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
      const { auth: rule, scope } = route.config ?? {}
      if (rule === undefined && scope !== undefined) throw new Error(`${route.url} has a scope, but no auth rule`)
      route.schema = describeRule(route.schema, rule, scope)
      if (rule === undefined || rule === 'handler') return
      route.preParsing = [ruleHook(rule, identify), ...[route.preParsing ?? []].flat()]
    })
  },
  { name: 'auth', dependencies: ['errors'] }
)

type Identify = (request: FastifyRequest, roles?: readonly Role[]) => Promise<Viewer | undefined>

function createIdentifier (verify: (token: string) => Bearer, { accounts, sessions, apiKeys }: Options) {
  /** Returns the reader of the caller of an access token or an API key. **Throws** `invalid_token`. */
  function readerOf (request: FastifyRequest, credential: string): ReadCaller {
    if (isApiKey(credential)) {
      request.usesApiKey = true
      const keyHash = hashOfApiKey(credential)
      if (keyHash === undefined) throw new ApiError('invalid_token')
      const use = { address: request.ip, scope: request.routeOptions.config.scope }
      return (since) => apiKeys.viewer(keyHash, use, since)
    }
    const { sub, sid } = verifyToken(credential)
    request.sessionId = sid
    return async (since) => {
      const viewer = await (sid === undefined ? accounts.viewer(sub, since) : sessions.viewer(sid, since))
      return viewer?.id === sub ? viewer : undefined
    }
  }

  function verifyToken (token: string): Bearer {
    try {
      return verify(token)
    } catch (error) {
      throw new ApiError('invalid_token', { cause: error })
    }
  }

  async function callerOf (read: ReadCaller, roles?: readonly Role[]): Promise<Viewer> {
    return await confirmRefusal(async (since) => {
      const viewer = await read(since)
      if (viewer === undefined) throw new ApiError('invalid_token')
      if (roles !== undefined && !roles.includes(viewer.role)) {
        throw new ApiError('role_required', { detail: `This is for ${roles.join(' and ')} accounts.` })
      }
      return viewer
    })
  }

  const identify: Identify = async (request, roles) => {
    const credential = bearerOf(request.headers.authorization)
    if (credential === undefined) return undefined
    request.readCaller = readerOf(request, credential)
    return await callerOf(request.readCaller, roles)
  }

  async function identifyAgain ({ readCaller }: FastifyRequest): Promise<Viewer> {
    if (readCaller === undefined) throw new ApiError('not_authenticated')
    return await callerOf(readCaller)
  }

  return { identify, identifyAgain }
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

/** Adds to the description of an operation the credentials that it accepts, and the errors of a refused credential. */
function describeRule (
  schema: RouteOptions['schema'],
  rule: AuthRule | undefined,
  scope: Scope | undefined
): RouteOptions['schema'] {
  if (rule === undefined) return schema && { security: [], ...schema }
  const described = addProblems(
    schema,
    'not_authenticated',
    'invalid_token',
    'scope_required',
    'key_address_refused',
    ...(typeof rule === 'object' ? (['role_required'] as const) : [])
  )
  const security = scope === undefined ? [...WITH_TOKEN] : [...WITH_TOKEN, { apiKey: [scope] }]
  if (rule === 'optional' || rule === 'handler') security.push({})
  return described && { security, ...described }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Without a rule, everyone may call the route, and the token is not read. */
    auth?: AuthRule
    /** The scope that an API key needs. Without a scope, the route is closed to API keys. */
    scope?: Scope
  }
  interface FastifyRequest {
    /** The account of the token; undefined without a token. */
    viewer: Viewer | undefined
    /** The session of the token. */
    sessionId: string | undefined
    /** True if the request presented an API key instead of an access token. */
    usesApiKey: boolean
    /** Reads the caller again; undefined before the caller is identified, and without a credential. */
    readCaller: ReadCaller | undefined
    /** Returns the account of the token. **Throws** `not_authenticated` without a token. */
    requireViewer(): Viewer
  }
  interface FastifyInstance {
    /** Resolves to the account of a request's token; undefined without a token. **Throws** `invalid_token`. */
    identify(request: FastifyRequest): Promise<Viewer | undefined>
    /**
     * Resolves to the account of a request that was identified before. The account, and the session or the API key,
     * must still be valid; an access token may have expired. **Throws** `invalid_token`.
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
