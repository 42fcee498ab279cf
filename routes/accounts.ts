import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Accounts } from '../src/accounts/accounts.js'
import {
  AccountPatch,
  AccountReply,
  GrantReply,
  LoggedInReply,
  NewAccountBody,
  Password,
  RegisterBody,
  RegisteredReply,
  SignedUpReply,
  SignupBody,
  accountReply,
  type Role
} from '../src/accounts/schema.js'
import type { Sessions } from '../src/accounts/sessions.js'
import { ApiError } from '../src/errors.js'
import { FilteredPageQuery, PageOf, SearchText, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'
import { SecretText, SingleLine, Uuid } from '../src/schemas/fields.js'

interface Options {
  accounts: Accounts
  sessions: Sessions
}

const secret = SecretText(1024, { examples: ['secure_password123'] })
const LoginBody = Type.Object(
  {
    email: SingleLine(256, { examples: ['ada@example.org'] }),
    password: secret
  },
  { additionalProperties: false }
)
const PasswordForm = Type.Object(
  {
    username: SingleLine(256, { description: 'The email.' }),
    password: secret,
    grant_type: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    client_id: Type.Optional(Type.String()),
    client_secret: Type.Optional(Type.String())
  },
  { additionalProperties: false }
)
const RefreshBody = Type.Object(
  { refresh_token: SingleLine(1024, { examples: ['Y2hhbmdlIG1lLCBJIGFtIGdvb2QgZm9yIG9uZSB1c2U'] }) },
  { additionalProperties: false }
)
const PasswordBody = Type.Object({ current_password: secret, new_password: Password }, { additionalProperties: false })
const Params = Type.Object({ id: Uuid() })

const tags = ['Accounts']

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { accounts, sessions }) => {
  await app.register(async (open: typeof app) => {
    open.post(
      '/auth/signup',
      {
        config: { limit: 'signup' },
        schema: {
          operationId: 'signUp',
          summary: 'Make an account that publishes its own media',
          description: 'Outside production the very first account is the administrator.',
          tags,
          security: [],
          body: SignupBody,
          response: {
            201: SignedUpReply,
            ...problemResponses('malformed_json', 'signup_closed', 'email_taken', 'validation_failed')
          }
        }
      },
      async (request, reply) => {
        const { account, grant } = await sessions.signUp({ ...request.body, role: 'instructor' })
        reply.code(201).header('location', '/auth/me')
        return { ...accountReply(account), ...reply.grant(account, grant) }
      }
    )

    open.post(
      '/auth/register',
      {
        config: { limit: 'signup' },
        schema: {
          operationId: 'register',
          summary: 'Make an account with a name, as an instructor or a student',
          tags,
          security: [],
          body: RegisterBody,
          response: {
            201: RegisteredReply,
            ...problemResponses(
              'malformed_json',
              'signup_closed',
              'email_taken',
              'mobile_number_taken',
              'validation_failed'
            )
          }
        }
      },
      async ({ body }, reply) => {
        const { account, grant } = await sessions.signUp({
          email: body.email,
          password: body.password,
          role: body.role.toLowerCase() as Role,
          firstName: body.first_name,
          lastName: body.last_name,
          dateOfBirth: body.date_of_birth,
          mobileNumber: body.mobile_number
        })
        reply.code(201).header('location', '/auth/me')
        return { ...accountReply(account), ...reply.grant(account, grant) }
      }
    )

    open.post(
      '/auth/refresh',
      {
        schema: {
          operationId: 'refresh',
          summary: 'Get the next access token and refresh token',
          description:
            "Each refresh token is good once. One that is shown again ends its session with all its tokens, since its thief and its owner can't be told apart: refresh in one place, one request at a time.",
          tags,
          security: [],
          body: RefreshBody,
          response: {
            200: GrantReply,
            ...problemResponses('malformed_json', 'invalid_refresh_token', 'validation_failed')
          }
        }
      },
      async (request, reply) => {
        const { viewer, grant } = await sessions.refresh(request.body.refresh_token)
        return reply.grant(viewer, grant)
      }
    )

    open.post(
      '/auth/logout',
      {
        schema: {
          operationId: 'logOut',
          summary: 'End a session at once, its access tokens too',
          description:
            'That of the access token; or, for a client whose access token has expired, that of a refresh token in the body.',
          tags,
          security: [{}, { bearer: [] }, { login: [] }],
          body: Type.Optional(Type.Union([Type.Null(), Type.Partial(RefreshBody, { additionalProperties: false })])),
          response: {
            204: Type.Null({ description: 'Ended, or there was none.' }),
            ...problemResponses('malformed_json', 'not_authenticated', 'invalid_token', 'validation_failed')
          }
        }
      },
      async (request, reply) => {
        const refreshToken = request.body?.refresh_token
        if (refreshToken === undefined) {
          request.viewer = await app.identify(request)
          request.signedIn()
        }
        await sessions.logOut(refreshToken === undefined ? { id: request.sessionId } : { refreshToken })
        return reply.code(204).send(null)
      }
    )
  })

  await app.register(async (open: typeof app) => {
    await open.register(formbody)
    open.post(
      '/auth/login',
      {
        config: { limit: 'login' },
        schema: {
          operationId: 'logIn',
          summary: 'Get an access token for an email and a password',
          description: 'JSON, or the password form of OAuth 2 (RFC 6749, 4.3.2), in which `username` is the email.',
          tags,
          security: [],
          body: {
            content: {
              'application/json': { schema: LoginBody },
              'application/x-www-form-urlencoded': { schema: PasswordForm }
            }
          },
          response: {
            200: LoggedInReply,
            ...problemResponses(
              'malformed_json',
              'invalid_credentials',
              'account_disabled',
              'validation_failed',
              'overloaded'
            )
          }
        }
      },
      async (request, reply) => {
        const {
          email,
          username = email!,
          password
        } = request.body as { email?: string; username?: string; password: string }
        const { account, grant } = await sessions.logIn(username, password)
        return { ...reply.grant(account, grant), ...accountReply(account) }
      }
    )
  })

  await app.register(async (signedIn: typeof app) => {
    signedIn.addHook('preParsing', app.requireAccount)

    signedIn.get(
      '/auth/me',
      {
        schema: {
          operationId: 'getMe',
          summary: 'The account that a token is of',
          tags,
          response: { 200: AccountReply, ...problemResponses('not_authenticated', 'invalid_token') }
        }
      },
      async (request) => {
        const account = await accounts.find(request.signedIn().id)
        if (account === undefined) throw new ApiError('invalid_token')
        return accountReply(account)
      }
    )

    signedIn.post(
      '/auth/password',
      {
        config: { limit: 'login' },
        schema: {
          operationId: 'changePassword',
          summary: 'Change your password, and end all your other sessions at once',
          description: 'Wrong guesses count as failed logins do.',
          tags,
          body: PasswordBody,
          response: {
            204: Type.Null({ description: 'Changed.' }),
            ...problemResponses(
              'malformed_json',
              'not_authenticated',
              'invalid_token',
              'wrong_password',
              'validation_failed',
              'overloaded'
            )
          }
        }
      },
      async (request, reply) => {
        await sessions.changePassword(
          request.signedIn(),
          request.sessionId,
          request.body.current_password,
          request.body.new_password
        )
        return reply.code(204).send(null)
      }
    )
  })

  await app.register(async (admins: typeof app) => {
    admins.addHook('preParsing', app.requireAccount)
    admins.addHook('preParsing', app.requireRole('admin'))
    const refusals = ['not_authenticated', 'invalid_token', 'role_required'] as const

    admins.get(
      '/users',
      {
        schema: {
          operationId: 'listUsers',
          summary: 'All accounts, newest first',
          tags,
          querystring: FilteredPageQuery({ q: SearchText('an email or a name') }),
          response: { 200: PageOf(AccountReply), ...problemResponses(...refusals, 'validation_failed') }
        }
      },
      async (request) => {
        const { q: part, ...page } = request.query
        return mapPage(await accounts.list(part, page), accountReply)
      }
    )

    admins.post(
      '/users',
      {
        schema: {
          operationId: 'createUser',
          summary: 'Make an account of any role',
          tags,
          body: NewAccountBody,
          response: {
            201: AccountReply,
            ...problemResponses('malformed_json', ...refusals, 'email_taken', 'validation_failed')
          }
        }
      },
      async (request, reply) => {
        const account = await accounts.create(request.body)
        return reply.code(201).header('location', `/users/${account.id}`).send(accountReply(account))
      }
    )

    admins.get(
      '/users/:id',
      {
        schema: {
          operationId: 'getUser',
          summary: 'One account',
          tags,
          params: Params,
          response: { 200: AccountReply, ...problemResponses(...refusals, 'not_found') }
        }
      },
      async (request) => {
        const account = await accounts.find(request.params.id)
        if (account === undefined) throw new ApiError('not_found')
        return accountReply(account)
      }
    )

    admins.patch(
      '/users/:id',
      {
        schema: {
          operationId: 'updateUser',
          summary: 'Give an account another role, disable it, or let it in again',
          description: 'At once, on every process. Disabling ends all its sessions; links minted for it stop too.',
          tags,
          params: Params,
          body: AccountPatch,
          response: {
            200: AccountReply,
            ...problemResponses('malformed_json', ...refusals, 'not_found', 'last_admin', 'validation_failed')
          }
        }
      },
      async (request) => accountReply(await sessions.changeAccount(request.params.id, request.body))
    )
  })
}

export default routes
