import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { Access } from '../src/access/permissions.js'
import type { Chapters } from '../src/captions/chapters.js'
import { ChapterList, ChapterReplies, chapterReplies } from '../src/captions/schema.js'
import { AnyIdParams, NoContent } from '../src/schemas/fields.js'
import { LINK_PROBLEMS, problemResponses } from '../src/schemas/problem.js'

interface Options {
  access: Access
  chapters: Chapters
}

const tags = ['Captions'] as const

const putChapters = {
  config: { auth: 'account', scope: 'media:write' },
  schema: {
    operationId: 'putChapters',
    summary: 'Store the chapters of a media',
    description:
      'Send all chapters in the order of their times. A chapter ends where the next one starts. ' +
      'Chapters that exist are replaced.',
    tags,
    params: AnyIdParams,
    body: ChapterList,
    response: { 200: ChapterReplies, ...problemResponses('not_owner', 'not_found') }
  }
} as const

const getChapters = {
  config: { auth: 'optional', scope: 'media:read' },
  schema: {
    operationId: 'getChapters',
    summary: 'Get the chapters of a media',
    description: 'The list is empty if the media has none.',
    tags,
    params: AnyIdParams,
    response: { 200: ChapterReplies, ...problemResponses('not_found') }
  }
} as const

const deleteChapters = {
  config: { auth: 'account', scope: 'media:write' },
  schema: {
    operationId: 'deleteChapters',
    summary: 'Delete the chapters of a media',
    tags,
    params: AnyIdParams,
    response: { 204: NoContent('Deleted.'), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const getChapterFile = {
  config: { auth: 'handler', scope: 'media:read', byLink: true, limit: 'none' },
  schema: {
    operationId: 'getChapterFile',
    summary: 'Get chapters as WebVTT by a link or a token',
    description: 'Opened in the same way as the stream, with the same query string. Any site may load it.',
    tags,
    params: AnyIdParams,
    response: {
      200: { description: 'The chapters.', content: { 'text/vtt': { schema: Type.String() } } },
      ...problemResponses(...LINK_PROBLEMS, 'not_found')
    }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { access, chapters }) => {
  app.put('/media/:id/chapters', putChapters, async (request) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    return chapterReplies(await chapters.put(media, request.body))
  })

  app.get('/media/:id/chapters', getChapters, async ({ viewer, params }) => {
    const media = await access.visible(viewer, params.id)
    return chapterReplies(await chapters.list(media.id))
  })

  app.delete('/media/:id/chapters', deleteChapters, async (request, reply) => {
    const media = await access.changeable(request.requireViewer(), request.params.id)
    await chapters.remove(media.id)
    return reply.code(204).send(null)
  })

  app.get('/media/:id/chapters.vtt', getChapterFile, async (request, reply) => {
    reply.headers({ 'access-control-allow-origin': '*', 'cache-control': 'private, no-cache' })
    const { media } = await request.admit(request.params.id)
    return reply.type('text/vtt; charset=utf-8').send(await chapters.vtt(media))
  })
}

export default routes
