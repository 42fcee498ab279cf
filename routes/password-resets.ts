import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { RESET_POLICY, resetPage } from '../src/accounts/reset-page.js'
import type { PasswordResets } from '../src/accounts/password-resets.js'
import { Password } from '../src/accounts/schema.js'
import { DateTime, IdParams, NoContent, SingleLine } from '../src/schemas/fields.js'
import { problemResponses } from '../src/schemas/problem.js'
import { isoTime } from '../src/time.js'

interface Options {
  passwordResets: PasswordResets
}

const tags = ['Accounts'] as const
/** The files that the page loads: web/reset/. */
const FILES = ['reset.js', 'reset.css']

const ResetBody = Type.Object(
  {
    token: SingleLine(100, {
      description: 'The part of the link after the `#`.',
      examples: ['Y2hhbmdlIG1lLCBJIGFtIGdvb2QgZm9yIG9uZSB1c2U']
    }),
    password: Password
  },
  { additionalProperties: false }
)
const ResetLinkReply = Type.Object({
  reset_url: Type.String({ examples: ['https://media.example.org/reset#Y2hhbmdlIG1lLCBJIGFtIGdvb2QgZm9yIG9uZSB1c2U'] }),
  expires_at: DateTime()
})

const createResetLink = {
  config: { auth: { roles: ['admin'] } },
  schema: {
    operationId: 'createResetLink',
    summary: 'Create a link by which a person sets a new password',
    description:
      'Hand the link to the owner of the account. It works once, for 24 hours, and is shown once. ' +
      'A new link replaces the previous link of the account.',
    tags,
    params: IdParams,
    response: { 201: ResetLinkReply, ...problemResponses('not_found') }
  }
} as const

const resetPassword = {
  config: { limit: 'login' },
  schema: {
    operationId: 'resetPassword',
    summary: 'Set a new password by a reset link, and end all sessions',
    description: 'Only the first of several requests with the same link succeeds. API keys stay valid.',
    tags,
    body: ResetBody,
    response: { 204: NoContent('The password is set.'), ...problemResponses('reset_link_invalid', 'overloaded') }
  }
} as const

const getResetPage = {
  schema: {
    operationId: 'getResetPage',
    summary: 'Get the page that a reset link opens',
    description: 'The page reads the token after the `#`, and calls `POST /auth/reset`.',
    tags,
    response: { 200: { description: 'The page.', content: { 'text/html': { schema: Type.String() } } } }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { passwordResets }) => {
  app.post('/users/:id/reset-link', createResetLink, async (request, reply) => {
    const { url, expiresAt } = await passwordResets.createLink(request.params.id, request.origin)
    reply.code(201).headers({ location: '/reset', 'cache-control': 'no-store' })
    return { reset_url: url, expires_at: isoTime(expiresAt) }
  })

  app.post('/auth/reset', resetPassword, async (request, reply) => {
    await passwordResets.reset({ ...request.body, address: request.ip })
    return reply.code(204).send(null)
  })

  app.get('/reset', getResetPage, async (_request, reply) => {
    reply
      .type('text/html; charset=utf-8')
      .headers({ 'content-security-policy': RESET_POLICY, 'cache-control': 'no-cache' })
    return resetPage()
  })

  for (const name of FILES) {
    app.get(`/reset/${name}`, { config: { limit: 'none' }, schema: { hide: true } }, (_request, reply) => {
      reply.sendFile(`reset/${name}`)
    })
  }
}

export default routes
