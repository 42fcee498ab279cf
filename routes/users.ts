import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Accounts } from '../src/accounts/accounts.js'
import { AccountPatch, AccountReply, NewAccountBody, accountReply } from '../src/accounts/schema.js'
import type { Sessions } from '../src/accounts/sessions.js'
import { ApiError } from '../src/errors.js'
import { IdParams } from '../src/schemas/fields.js'
import { FilteredPageQuery, PageOf, SearchText, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  accounts: Accounts
  sessions: Sessions
}

const tags = ['Accounts'] as const
const config = { auth: { roles: ['admin'] } } as const

const listUsers = {
  config: { ...config, scope: 'users:admin' },
  schema: {
    operationId: 'listUsers',
    summary: 'List all accounts, newest first',
    tags,
    querystring: FilteredPageQuery({ q: SearchText('an email or a name') }),
    response: { 200: PageOf(AccountReply) }
  }
} as const

const createUser = {
  config: { ...config, scope: 'users:admin' },
  schema: {
    operationId: 'createUser',
    summary: 'Create an account with any role',
    tags,
    body: NewAccountBody,
    response: { 201: AccountReply, ...problemResponses('email_taken') }
  }
} as const

const getUser = {
  config: { ...config, scope: 'users:admin' },
  schema: {
    operationId: 'getUser',
    summary: 'Get an account',
    tags,
    params: IdParams,
    response: { 200: AccountReply, ...problemResponses('not_found') }
  }
} as const

const updateUser = {
  config: { ...config, scope: 'users:admin' },
  schema: {
    operationId: 'updateUser',
    summary: 'Change the role of an account, disable it or enable it',
    description:
      'Takes effect on every process within one second. Disabling an account ends all its sessions and its links.',
    tags,
    params: IdParams,
    body: AccountPatch,
    response: { 200: AccountReply, ...problemResponses('not_found', 'last_admin') }
  }
} as const

/** The routes by which administrators manage accounts. */
const routes: FastifyPluginAsyncTypebox<Options> = async (app, { accounts, sessions }) => {
  app.get('/users', listUsers, async (request) => {
    const { q: part, ...page } = request.query
    return mapPage(await accounts.list(part, page), accountReply)
  })

  app.post('/users', createUser, async (request, reply) => {
    const account = await accounts.create(request.body, request.ip)
    return reply.code(201).header('location', `/users/${account.id}`).send(accountReply(account))
  })

  app.get('/users/:id', getUser, async (request) => {
    const account = await accounts.find(request.params.id)
    if (account === undefined) throw new ApiError('not_found')
    return accountReply(account)
  })

  app.patch('/users/:id', updateUser, async (request) =>
    accountReply(await sessions.changeAccount(request.params.id, request.body))
  )
}

export default routes
