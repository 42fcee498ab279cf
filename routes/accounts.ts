import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Accounts } from '../src/accounts/accounts.js'
import {
  AccountReply, LoggedInReply, NewAccountBody, RegisterBody, RegisteredReply, SignedUpReply, SignupBody, accountReply, type Role
} from '../src/accounts/schema.js'
import { ApiError } from '../src/errors.js'
import { problemResponses } from '../src/problem-schema.js'
import { line } from '../src/text-fields.js'

const secret = line(1024, { examples: ['secure_password123'] })
const LoginBody = Type.Object({
  email: line(256, { examples: ['ada@example.org'] }),
  password: secret
}, { additionalProperties: false })
const PasswordForm = Type.Object({
  username: line(256, { description: 'The email.' }),
  password: secret,
  grant_type: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String()),
  client_id: Type.Optional(Type.String()),
  client_secret: Type.Optional(Type.String())
}, { additionalProperties: false })

const tags = ['Accounts']

const routes: FastifyPluginAsyncTypebox<{ accounts: Accounts }> = async (app, { accounts }) => {
  await app.register(async (open: typeof app) => {
    open.post('/auth/signup', {
      config: { limit: 'signup' },
      schema: {
        operationId: 'signUp',
        summary: 'Make an account that publishes its own media',
        description: 'Outside production the very first account is the administrator.',
        tags,
        security: [],
        body: SignupBody,
        response: { 201: SignedUpReply, ...problemResponses('malformed_json', 'signup_closed', 'email_taken', 'validation_failed') }
      }
    }, async (request, reply) => {
      const account = await accounts.signUp({ ...request.body, role: 'instructor' })
      reply.code(201).header('location', '/auth/me')
      return { ...accountReply(account), ...app.issueToken(account) }
    })

    open.post('/auth/register', {
      config: { limit: 'signup' },
      schema: {
        operationId: 'register',
        summary: 'Make an account with a name, as an instructor or a student',
        tags,
        security: [],
        body: RegisterBody,
        response: { 201: RegisteredReply, ...problemResponses('malformed_json', 'signup_closed', 'email_taken', 'mobile_number_taken', 'validation_failed') }
      }
    }, async ({ body }, reply) => {
      const account = await accounts.signUp({
        email: body.email,
        password: body.password,
        role: body.role.toLowerCase() as Role,
        firstName: body.first_name,
        lastName: body.last_name,
        dateOfBirth: body.date_of_birth,
        mobileNumber: body.mobile_number
      })
      reply.code(201).header('location', '/auth/me')
      return { ...accountReply(account), ...app.issueToken(account) }
    })
  })

  await app.register(async (open: typeof app) => {
    await open.register(formbody)
    open.post('/auth/login', {
      config: { limit: 'login' },
      schema: {
        operationId: 'logIn',
        summary: 'Get an access token for an email and a password',
        description: 'JSON, or the password form of OAuth 2 (RFC 6749, 4.3.2), in which `username` is the email.',
        tags,
        security: [],
        body: { content: { 'application/json': { schema: LoginBody }, 'application/x-www-form-urlencoded': { schema: PasswordForm } } },
        response: { 200: LoggedInReply, ...problemResponses('malformed_json', 'invalid_credentials', 'account_disabled', 'validation_failed', 'overloaded') }
      }
    }, async (request) => {
      const { email, username = email!, password } = request.body as { email?: string, username?: string, password: string }
      const account = await accounts.logIn(username, password)
      return { ...app.issueToken(account), ...accountReply(account) }
    })
  })

  await app.register(async (signedIn: typeof app) => {
    signedIn.addHook('preParsing', app.requireAccount)
    signedIn.get('/auth/me', {
      schema: { operationId: 'getMe', summary: 'The account that a token is of', tags, response: { 200: AccountReply, ...problemResponses('not_authenticated', 'invalid_token') } }
    }, async (request) => {
      const account = await accounts.find(request.signedIn().id)
      if (account === undefined) throw new ApiError('invalid_token')
      return accountReply(account)
    })

    signedIn.post('/users', {
      preParsing: app.requireRole('admin'),
      schema: {
        operationId: 'createUser',
        summary: 'Make an account of any role',
        tags,
        body: NewAccountBody,
        response: { 201: AccountReply, ...problemResponses('malformed_json', 'not_authenticated', 'invalid_token', 'role_required', 'email_taken', 'validation_failed') }
      }
    }, async (request, reply) => {
      const account = await accounts.create(request.body)
      return reply.code(201).header('location', `/users/${account.id}`).send(accountReply(account))
    })
  })
}

export default routes
