import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { Accounts } from '../src/accounts/accounts.js'
import {
  AccountReply,
  GrantReply,
  LoggedInReply,
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
import { BodyByContentType } from '../src/schemas/body.js'
import { NoContent, SecretText, SingleLine } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'

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

const tags = ['Accounts'] as const

const signUp = {
  config: { limit: 'signup' },
  schema: {
    operationId: 'signUp',
    summary: 'Create an account that publishes its own media',
    description: 'Outside production, the first account is the administrator.',
    tags,
    body: SignupBody,
    response: { 201: SignedUpReply, ...problemResponses('signup_closed', 'email_taken') }
  }
} as const

const register = {
  config: { limit: 'signup' },
  schema: {
    operationId: 'register',
    summary: 'Create an account with a name, as an instructor or a student',
    tags,
    body: RegisterBody,
    response: { 201: RegisteredReply, ...problemResponses('signup_closed', 'email_taken', 'mobile_number_taken') }
  }
} as const

const logIn = {
  config: { limit: 'login' },
  schema: {
    operationId: 'logIn',
    summary: 'Get an access token for an email and a password',
    description: 'Send JSON, or the password form of OAuth 2 (RFC 6749, 4.3.2) with the email as `username`.',
    tags,
    body: BodyByContentType({ 'application/json': LoginBody, 'application/x-www-form-urlencoded': PasswordForm }),
    response: { 200: LoggedInReply, ...problemResponses('invalid_credentials', 'account_disabled', 'overloaded') }
  }
} as const

const refresh = {
  schema: {
    operationId: 'refresh',
    summary: 'Get the next access token and refresh token',
    description:
      'A refresh token is valid once. A second use ends its session with all tokens of the session. ' +
      'So send one refresh request at a time, from one place.',
    tags,
    body: RefreshBody,
    response: { 200: GrantReply, ...problemResponses('invalid_refresh_token') }
  }
} as const

const logOut = {
  config: { auth: 'handler' },
  schema: {
    operationId: 'logOut',
    summary: 'End a session and its access tokens at once',
    description:
      'Ends the session of the access token. ' +
      'A client whose access token has expired sends its refresh token in the body instead.',
    tags,
    body: Type.Optional(Type.Union([Type.Null(), Type.Partial(RefreshBody, { additionalProperties: false })])),
    response: { 204: NoContent('The session has ended, or did not exist.') }
  }
} as const

const getMe = {
  config: { auth: 'account' },
  schema: {
    operationId: 'getMe',
    summary: 'Get the signed-in account',
    tags,
    response: { 200: AccountReply }
  }
} as const

const changePassword = {
  config: { auth: 'account', limit: 'login' },
  schema: {
    operationId: 'changePassword',
    summary: 'Change your password and end all your other sessions',
    description: 'A wrong current password counts as a failed login.',
    tags,
    body: PasswordBody,
    response: { 204: NoContent('Changed.'), ...problemResponses('wrong_password', 'overloaded') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  await app.register(signUpRoutes, options)
  await app.register(logInRoute, options)
  await app.register(sessionRoutes, options)
}

const signUpRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { sessions }) => {
  app.post('/auth/signup', signUp, async (request, reply) => {
    return await create({ ...request.body, role: 'instructor' }, reply)
  })

  app.post('/auth/register', register, async ({ body }, reply) => {
    const account = {
      email: body.email,
      password: body.password,
      role: body.role.toLowerCase() as Role,
      firstName: body.first_name,
      lastName: body.last_name,
      dateOfBirth: body.date_of_birth,
      mobileNumber: body.mobile_number
    }
    return await create(account, reply)
  })

  async function create (newAccount: Parameters<Sessions['signUp']>[0], reply: FastifyReply) {
    const { account, grant } = await sessions.signUp(newAccount, reply.request.ip)
    reply.code(201).header('location', '/auth/me')
    return { ...accountReply(account), ...reply.grant(account, grant) }
  }
}

/** Registered in its own scope, so that no other route accepts URL-encoded forms. */
const logInRoute: FastifyPluginAsyncTypebox<Options> = async (app, { sessions }) => {
  await app.register(formbody)
  app.post('/auth/login', logIn, async ({ body, ip }, reply) => {
    const email = 'email' in body ? body.email : body.username
    const { account, grant } = await sessions.logIn(email, body.password, ip)
    return { ...reply.grant(account, grant), ...accountReply(account) }
  })
}

const sessionRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { accounts, sessions }) => {
  app.post('/auth/refresh', refresh, async (request, reply) => {
    const { viewer, grant } = await sessions.refresh(request.body.refresh_token)
    return reply.grant(viewer, grant)
  })

  app.post('/auth/logout', logOut, async (request, reply) => {
    const refreshToken = request.body?.refresh_token
    if (refreshToken === undefined) {
      request.viewer = await app.identify(request)
      request.requireViewer()
    }
    await sessions.logOut(refreshToken === undefined ? { id: request.sessionId } : { refreshToken })
    return reply.code(204).send(null)
  })

  app.get('/auth/me', getMe, async (request) => {
    const account = await accounts.find(request.requireViewer().id)
    if (account === undefined) throw new ApiError('invalid_token')
    return accountReply(account)
  })

  app.post('/auth/password', changePassword, async (request, reply) => {
    const { current_password: current, new_password: fresh } = request.body
    const change = { current, fresh, address: request.ip }
    await sessions.changePassword(request.requireViewer(), request.sessionId, change)
    return reply.code(204).send(null)
  })
}

export default routes
