import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { publisherRoles } from '../src/accounts/schema.js'
import { ApiError } from '../src/errors.js'
import { AnyIdParams, IdParams, NoContent, OnlyHeaders } from '../src/schemas/fields.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { PUBLISH_PROBLEMS, RECEIVE_PROBLEMS, problemResponses } from '../src/schemas/problem.js'
import { checksumAlgorithms, type Part } from '../src/uploads/part.js'
import type { ResumableUploads } from '../src/uploads/resumable-uploads.js'
import {
  LectureMetadata,
  MediaMetadata,
  UploadReply,
  isComplete,
  pathOfUpload,
  uploadReply,
  type Upload,
  type UploadDescription
} from '../src/uploads/schema.js'
import {
  PART_TYPE,
  TUS_EXTENSIONS,
  TUS_VERSION,
  knownMetadata,
  parseByteCount,
  parseMetadata
} from '../src/uploads/tus.js'
import { hasBody, headerOf, lengthOf, partOf, stateOf } from '../src/uploads/tus-request.js'

interface Options {
  resumable: ResumableUploads
}

const tags = ['Uploads'] as const
const forPublishers = { auth: { roles: publisherRoles }, scope: 'uploads' } as const
const Version = Type.Optional(Type.String({ description: 'The version of tus.', examples: [TUS_VERSION] }))
const Checksum = Type.Optional(
  Type.String({
    description: 'The checksum of this body: sha256 or sha1, a space, and a digest in base64.',
    examples: ['sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=']
  })
)
/** The errors of a complete upload; see `ResumableUploads.settle`. */
const SETTLE_PROBLEMS = [
  'not_found',
  'upload_expired',
  'upload_locked',
  'tus_version_unsupported',
  'digest_mismatch',
  'media_type_mismatch',
  ...RECEIVE_PROBLEMS,
  ...PUBLISH_PROBLEMS
] as const
const APPEND_PROBLEMS = ['unsupported_content_type', 'payload_too_large', 'checksum_mismatch'] as const

const describeTus = (path: 'createUpload' | 'uploadPart') =>
  ({
    config: { limit: 'none', options: true },
    schema: {
      operationId: path === 'createUpload' ? 'getUploadOptions' : 'getUploadPartOptions',
      summary: 'Get the version and the extensions of tus',
      description: 'The response has Tus-Version, Tus-Extension, Tus-Max-Size and Tus-Checksum-Algorithm.',
      tags,
      ...(path === 'uploadPart' && { params: AnyIdParams }),
      response: { 204: NoContent('The headers describe the server.') }
    }
  }) as const

const createUpload = {
  config: { ...forPublishers, rawBody: [PART_TYPE], checks: [MediaMetadata, LectureMetadata] },
  schema: {
    operationId: 'createUpload',
    summary: 'Create a resumable upload (tus 1.0)',
    description:
      'Upload-Metadata has the keys of a media: `title`, `type`, `visibility`, `protection`. ' +
      'With `course_id`, the upload becomes a lecture: `title`, `description`, `category`, `subcategory`. ' +
      'With an API key, that needs the scope courses:write, too. Optional: `filename`, `sha256` (hex, of the file). ' +
      'The body may be the first part of the file. The size counts toward the quota at once.',
    tags,
    headers: Type.Object({
      'tus-resumable': Version,
      'upload-length': Type.Optional(Type.String({ description: 'The size of the file.', examples: ['1048576'] })),
      'upload-metadata': Type.Optional(Type.String({ examples: ['title QSB0YWxr,type dmlkZW8='] })),
      'upload-checksum': Checksum
    }),
    response: {
      201: OnlyHeaders('Created: send the file to Location. If the body was the whole file: see Media-Location.'),
      ...problemResponses('not_owner', 'too_many_open_uploads', ...APPEND_PROBLEMS, ...SETTLE_PROBLEMS)
    }
  }
} as const

const listUploads = {
  config: forPublishers,
  schema: {
    operationId: 'listUploads',
    summary: 'List your open resumable uploads, newest first',
    tags,
    querystring: PageQuery,
    response: { 200: PageOf(UploadReply) }
  }
} as const

const getUploadOffset = {
  config: { ...forPublishers, headOperationId: 'getUploadOffset', swagger: { exposeHeadRoute: true } },
  schema: {
    summary: 'Get the offset at which a resumable upload continues',
    description:
      'Ends a request that still sends bytes. Bytes before Upload-Offset are on disk. ' +
      'A finished upload has Media-Location for a day. After a failure, the status is 410 for a day: see Upload-Error.',
    tags,
    params: IdParams,
    headers: Type.Object({ 'tus-resumable': Version }),
    response: { 200: OnlyHeaders('See Upload-Offset and Upload-Length.'), ...problemResponses(...SETTLE_PROBLEMS) }
  }
} as const

const uploadPart = {
  config: { ...forPublishers, rawBody: [PART_TYPE], limit: 'none' },
  schema: {
    operationId: 'uploadPart',
    summary: 'Send a part of a resumable upload',
    description:
      'The bytes of an interrupted request are kept, unless it has Upload-Checksum. ' +
      'The last part publishes the media, and its response has Media-Location.',
    tags,
    params: IdParams,
    headers: Type.Object({
      'tus-resumable': Version,
      'upload-offset': Type.Optional(Type.String({ description: 'As HEAD returned it.', examples: ['0'] })),
      'upload-checksum': Checksum
    }),
    response: {
      204: NoContent('Stored: see Upload-Offset.'),
      ...problemResponses('upload_offset_mismatch', 'upload_parts_too_small', ...APPEND_PROBLEMS, ...SETTLE_PROBLEMS)
    }
  }
} as const

const deleteUpload = {
  config: forPublishers,
  schema: {
    operationId: 'deleteUpload',
    summary: 'Delete a resumable upload',
    description: 'Its bytes are removed, and no longer count toward the quota. A media made from it stays.',
    tags,
    params: IdParams,
    headers: Type.Object({ 'tus-resumable': Version }),
    response: {
      204: NoContent('Deleted.'),
      ...problemResponses('not_found', 'upload_locked', 'tus_version_unsupported', 'shutting_down')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  // The handlers read the body themselves.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.addHook('onSend', async (_request, reply) => {
    reply.header('tus-resumable', TUS_VERSION)
  })
  await app.register(describingRoutes, options)
  await app.register(uploadRoutes, options)
}

/** These routes need no Tus-Resumable. */
const describingRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { resumable }) => {
  const describe = async (_request: FastifyRequest, reply: FastifyReply) =>
    await reply
      .code(204)
      .headers({
        'tus-version': TUS_VERSION,
        'tus-extension': TUS_EXTENSIONS,
        'tus-max-size': String(resumable.maxBytes),
        'tus-checksum-algorithm': checksumAlgorithms.join(',')
      })
      .send(null)
  app.options('/media/uploads', describeTus('createUpload'), describe)
  app.options('/media/uploads/:id', describeTus('uploadPart'), describe)
  app.get('/media/uploads', listUploads, async (request) =>
    mapPage(await resumable.list(request.requireViewer().id, request.query), uploadReply)
  )
}

const uploadRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { resumable }) => {
  app.addHook('preHandler', async ({ headers }) => {
    // A proxy that filters methods would not see the method in this header.
    if (headers['x-http-method-override'] !== undefined) {
      throw new ApiError('bad_request', { detail: 'X-HTTP-Method-Override is not accepted here.' })
    }
    if (headers['tus-resumable'] !== TUS_VERSION) {
      throw new ApiError('tus_version_unsupported', { headers: { 'tus-version': TUS_VERSION } })
    }
  })

  app.post('/media/uploads', createUpload, async (request, reply) => {
    const viewer = request.requireViewer()
    const metadata = headerOf(request.headers, 'upload-metadata')
    const description = descriptionOf(request, metadata)
    const sizeBytes = lengthOf(request.headers)
    const part = hasBody(request.headers) ? partOf(request.headers, 0) : undefined
    const upload = await resumable.create(viewer, { sizeBytes, description, metadata })
    try {
      const current = part === undefined ? upload : await receive(request, upload.id, part)
      return await reply.code(201).header('location', pathOfUpload(upload.id)).headers(stateOf(current)).send(undefined)
    } catch (error) {
      // The client never got the URL of the upload, so it cannot continue it.
      await resumable.abandon(viewer, upload.id).catch(() => {})
      throw error
    }
  })

  app.head('/media/uploads/:id', getUploadOffset, async (request, reply) => {
    const upload = await resumable.settle(request.requireViewer(), request.params.id)
    if (upload.metadata !== null) reply.header('upload-metadata', upload.metadata)
    return await reply
      .code(200)
      .headers({ ...stateOf(upload), 'upload-length': String(upload.sizeBytes), 'cache-control': 'no-store' })
      .send(undefined)
  })

  app.patch('/media/uploads/:id', uploadPart, async (request, reply) => {
    const part = partOf(request.headers, parseByteCount('Upload-Offset', headerOf(request.headers, 'upload-offset')))
    const upload = await receive(request, request.params.id, part)
    return await reply.code(204).headers(stateOf(upload)).send(null)
  })

  app.delete('/media/uploads/:id', deleteUpload, async (request, reply) => {
    await resumable.abandon(request.requireViewer(), request.params.id)
    return await reply.code(204).send(null)
  })

  /** Receives a part. Publishes the upload if that was its last part. */
  async function receive (request: FastifyRequest, id: string, part: Part): Promise<Upload> {
    const viewer = request.requireViewer()
    const upload = await request.receiveUpload((body) => resumable.append(viewer, id, part, body))
    return isComplete(upload) ? await resumable.settle(viewer, id) : upload
  }
}

/** **Throws** `validation_failed`, which names the keys of the metadata. */
function descriptionOf (request: FastifyRequest, metadata: string | undefined): UploadDescription {
  const { kind, fields } = knownMetadata(parseMetadata(metadata))
  request.checkInput(kind === 'lecture' ? LectureMetadata : MediaMetadata, fields)
  return { kind, ...fields } as UploadDescription
}

export default routes
