import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { publisherRoles } from '../src/accounts/schema.js'
import { LectureFields } from '../src/courses/schema.js'
import { invalidField } from '../src/errors.js'
import { GrantBody, GrantReply, NewGrantReply, grantReply, type GrantDescription } from '../src/grants/schema.js'
import type { UploadGrants } from '../src/grants/upload-grants.js'
import { IdParams, NoContent } from '../src/schemas/fields.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'
import type { Clock } from '../src/time.js'

interface Options {
  grants: UploadGrants
  clock: Clock
}

const tags = ['Media'] as const
const config = { auth: { roles: publisherRoles }, scope: 'uploads' } as const
const DEFAULT_TITLE = 'Untitled'

const createGrant = {
  config: { ...config, idempotent: true, checks: [LectureFields] },
  schema: {
    operationId: 'createUploadGrant',
    summary: 'Create a URL at which one file can be uploaded without an account',
    description:
      'Give `upload_url` to a browser or a program. It makes one media of yours, by one PUT of the file. ' +
      'Its size is reserved in your quota until the grant ends. With `course_id`, the file becomes a lecture; ' +
      '`title`, `description`, `category` and `subcategory` are then required.',
    tags,
    body: GrantBody,
    response: {
      201: NewGrantReply,
      ...problemResponses('upload_too_large', 'quota_exceeded', 'too_many_upload_grants', 'not_owner', 'not_found')
    }
  }
} as const

const listGrants = {
  config,
  schema: {
    operationId: 'listUploadGrants',
    summary: 'List your upload grants, newest first',
    description: 'Grants are listed until 30 days after their expiry. `total` counts at most 10,000.',
    tags,
    querystring: PageQuery,
    response: { 200: PageOf(GrantReply) }
  }
} as const

const getGrant = {
  config,
  schema: {
    operationId: 'getUploadGrant',
    summary: 'Get an upload grant and its status',
    tags,
    params: IdParams,
    response: { 200: GrantReply, ...problemResponses('not_found') }
  }
} as const

const revokeGrant = {
  config,
  schema: {
    operationId: 'revokeUploadGrant',
    summary: 'Revoke an upload grant',
    description: 'Its URL stops working at once, and its reservation leaves the quota. A media that it made stays.',
    tags,
    params: IdParams,
    response: { 204: NoContent('Revoked.'), ...problemResponses('not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { grants, clock }) => {
  app.post('/upload-grants', createGrant, async (request, reply) => {
    const { max_bytes: maxBytes, expires_in: expiresInSeconds, origin } = request.body
    const input = { description: descriptionOf(request.body, request.checkInput), maxBytes, expiresInSeconds, origin }
    reply.header('cache-control', 'no-store')
    await reply.createOnce((creation) =>
      grants.create(request.requireViewer(), input, async (trx, grant) => {
        const uploadUrl = `${request.origin}/granted-uploads/${grants.tokenOf(grant)}`
        const body = { ...grantReply(grant, clock.now()), upload_url: uploadUrl }
        await creation.created(trx, `/upload-grants/${grant.id}`, body)
      })
    )
  })

  app.get('/upload-grants', listGrants, async (request) =>
    mapPage(await grants.list(request.requireViewer().id, request.query), (grant) => grantReply(grant, clock.now()))
  )

  app.get('/upload-grants/:id', getGrant, async (request) =>
    grantReply(await grants.find(request.requireViewer(), request.params.id), clock.now())
  )

  app.delete('/upload-grants/:id', revokeGrant, async (request, reply) => {
    await grants.revoke(request.requireViewer(), request.params.id)
    return reply.code(204).send(null)
  })
}

/** Returns what the file becomes. **Throws** `validation_failed` for a mixture of a media and a lecture. */
function descriptionOf (body: Static<typeof GrantBody>, check: FastifyRequest['checkInput']): GrantDescription {
  const { title, type, visibility, protection, description, category, subcategory, course_id: courseId } = body
  if (courseId === undefined) {
    for (const [name, value] of Object.entries({ description, category, subcategory })) {
      if (value !== undefined) throw invalidField(name, 'is only for a lecture: send course_id too')
    }
    return { kind: 'media', title: title ?? DEFAULT_TITLE, type, visibility, protection }
  }
  for (const [name, value] of Object.entries({ type, visibility, protection })) {
    if (value !== undefined) throw invalidField(name, 'is not for a lecture: its course decides')
  }
  const fields = Object.entries({ title, description, category, subcategory, course_id: courseId })
  const lecture = Object.fromEntries(fields.filter(([, value]) => value !== undefined))
  check(LectureFields, lecture)
  return { kind: 'lecture', ...(lecture as Static<typeof LectureFields>) }
}

export default routes
