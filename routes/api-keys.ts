import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ApiKeyBody, ApiKeyPatch, ApiKeyReply, NewApiKeyReply, apiKeyReply } from '../src/accounts/api-key-schema.js'
import type { ApiKeys } from '../src/accounts/api-keys.js'
import { IdParams, NoContent } from '../src/schemas/fields.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  apiKeys: ApiKeys
}

const tags = ['API keys'] as const
const config = { auth: 'account' } as const

const createApiKey = {
  config,
  schema: {
    operationId: 'createApiKey',
    summary: 'Create an API key for a program',
    description:
      'The key acts for your account, within its scopes and within what your role allows at that time. ' +
      'Its text is shown once. An account has at most 50 keys.',
    tags,
    body: ApiKeyBody,
    response: { 201: NewApiKeyReply, ...problemResponses('too_many_keys') }
  }
} as const

const listApiKeys = {
  config,
  schema: {
    operationId: 'listApiKeys',
    summary: 'List your API keys, newest first',
    tags,
    querystring: PageQuery,
    response: { 200: PageOf(ApiKeyReply) }
  }
} as const

const listUserApiKeys = {
  config: { auth: { roles: ['admin'] } },
  schema: {
    operationId: 'listUserApiKeys',
    summary: 'List the API keys of an account, newest first',
    tags,
    params: IdParams,
    querystring: PageQuery,
    response: { 200: PageOf(ApiKeyReply), ...problemResponses('not_found') }
  }
} as const

const renameApiKey = {
  config,
  schema: {
    operationId: 'renameApiKey',
    summary: 'Rename an API key',
    description: 'An administrator may rename the keys of every account. Scopes and expiry never change.',
    tags,
    params: IdParams,
    body: ApiKeyPatch,
    response: { 200: ApiKeyReply, ...problemResponses('not_found') }
  }
} as const

const revokeApiKey = {
  config,
  schema: {
    operationId: 'revokeApiKey',
    summary: 'Revoke an API key',
    description:
      'Every process refuses the key within one second. Links issued with the key stay valid until they expire. ' +
      'An administrator may revoke the keys of every account.',
    tags,
    params: IdParams,
    response: { 204: NoContent('Revoked.'), ...problemResponses('not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { apiKeys }) => {
  app.post('/api-keys', createApiKey, async (request, reply) => {
    const { expires_in_days: expiresInDays, ...body } = request.body
    const { apiKey, key } = await apiKeys.create(request.requireViewer().id, { ...body, expiresInDays })
    // The list is the only URL that shows the key again, without its secret.
    reply.code(201).headers({ location: '/api-keys', 'cache-control': 'no-store' })
    return { key, ...apiKeyReply(apiKey) }
  })

  app.get('/api-keys', listApiKeys, async (request) =>
    mapPage(await apiKeys.list(request.requireViewer().id, request.query), apiKeyReply)
  )

  app.get('/users/:id/api-keys', listUserApiKeys, async ({ params, query }) =>
    mapPage(await apiKeys.list(params.id, query), apiKeyReply)
  )

  app.patch('/api-keys/:id', renameApiKey, async (request) =>
    apiKeyReply(await apiKeys.rename(request.requireViewer(), request.params.id, request.body.name))
  )

  app.delete('/api-keys/:id', revokeApiKey, async (request, reply) => {
    await apiKeys.revoke(request.requireViewer(), request.params.id)
    return reply.code(204).send(null)
  })
}

export default routes
