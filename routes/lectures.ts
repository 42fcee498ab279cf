import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import type { Viewer } from '../src/accounts/schema.js'
import type { Courses } from '../src/courses/courses.js'
import { discardBatchFile, type LectureBatch } from '../src/courses/lecture-batch.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { ProgressBook } from '../src/courses/progress.js'
import {
  BatchFields,
  LectureFields,
  LecturePatch,
  LectureReply,
  ProgressBody,
  ProgressOfLecture,
  lectureProgressReply
} from '../src/courses/schema.js'
import type { Subscriptions } from '../src/courses/subscriptions.js'
import { ApiError, invalidField } from '../src/errors.js'
import { FailureReply } from '../src/media/schema.js'
import type { Intake } from '../src/media/uploads.js'
import { problemResponses } from '../src/schemas/problem.js'
import { Uuid } from '../src/schemas/fields.js'

interface Options {
  batch: LectureBatch
  courses: Courses
  intake: Intake
  lectures: Lectures
  lectureUrls: LectureUrls
  progress: ProgressBook
  subscriptions: Subscriptions
}

const tags = ['Lectures']
const config = { limit: 'course' as const }
const Params = Type.Object({ id: Uuid() })
const MAX_BATCH_FILES = 2
const file = Type.String({ format: 'binary' })
const LectureForm = Type.Object({ ...LectureFields.properties, lecture_file: file })
const BatchForm = Type.Object({
  ...BatchFields.properties,
  lectures_files: Type.Array(file, { minItems: 1, maxItems: MAX_BATCH_FILES })
})
const BatchReply = Type.Object({
  total_videos: Type.Integer(),
  successful_uploads: Type.Integer(),
  failed_uploads: Type.Integer(),
  results: Type.Array(
    Type.Object({
      success: Type.Boolean(),
      lecture: Type.Union([LectureReply, Type.Null()]),
      error: Type.Union([FailureReply, Type.Null()]),
      video_filename: Type.String()
    })
  )
})
const uploadRefusals = [
  'malformed_multipart',
  'upload_incomplete',
  'not_authenticated',
  'invalid_token',
  'role_required',
  'unsupported_content_type',
  'upload_too_large',
  'validation_failed',
  'too_many_uploads',
  'overloaded',
  'shutting_down',
  'storage_unavailable',
  'storage_full'
] as const
const ownerRefusals = ['not_authenticated', 'invalid_token', 'role_required', 'not_owner', 'not_found'] as const

const routes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { batch, courses, intake, lectures, lectureUrls, progress, subscriptions }
) => {
  app.addHook('preParsing', app.requireAccount)
  const teachers = { preParsing: app.requireRole('admin', 'instructor'), config }

  app.post(
    '/course/add-lecture',
    {
      ...teachers,
      config: { ...config, checks: [LectureFields], form: LectureForm },
      schema: {
        operationId: 'addLecture',
        summary: 'Upload a lecture to the end of your course',
        tags,
        response: {
          201: LectureReply,
          ...problemResponses(
            ...uploadRefusals,
            'not_owner',
            'not_found',
            'quota_exceeded',
            'unsupported_media_format',
            'media_too_complex'
          )
        }
      }
    },
    async (request, reply) => {
      const viewer = request.signedIn()
      const {
        fields: { course_id: courseId, ...text },
        files: [file]
      } = await request.receiveForm({
        fields: LectureFields,
        fileFields: ['lecture_file'],
        maxFiles: 1,
        receive: (source) => intake.receive(source, likelyOwner(viewer)),
        discard: (draft) => draft.discard()
      })
      if (file === undefined) throw invalidField('lecture_file', 'is required')
      const added = await lectures.add(file.received, text, {
        uploaderId: viewer.id,
        courseFor: () => courses.changeable(viewer, courseId)
      })
      return reply
        .code(201)
        .header('location', `/lecture/${added.lecture.id}`)
        .send(await lectureUrls.reply(added, viewer, request.origin))
    }
  )

  app.post(
    '/course/add-lectures-batch',
    {
      ...teachers,
      config: { ...config, checks: [BatchFields, LectureFields], form: BatchForm },
      schema: {
        operationId: 'addLectures',
        summary: 'Upload one or two lectures, each on its own fate',
        description: 'One that fails leaves the other; when all fail, a 422 carries the same `results`.',
        tags,
        response: { 201: BatchReply, ...problemResponses(...uploadRefusals, 'batch_failed') }
      }
    },
    async (request, reply) => {
      const viewer = request.signedIn()
      const { fields, files } = await request.receiveForm({
        fields: BatchFields,
        fileFields: ['lectures_files'],
        maxFiles: MAX_BATCH_FILES,
        receive: (source) => batch.receive(source, likelyOwner(viewer)),
        discard: discardBatchFile
      })
      const outcomes = await batch.add(
        viewer,
        files.map(({ received }) => received),
        fields,
        (schema, entry) => request.checkInput(schema, entry)
      )
      const results = await Promise.all(
        outcomes.map(async ({ added, error }, index) => ({
          success: added !== undefined,
          lecture: added === undefined ? null : await lectureUrls.reply(added, viewer, request.origin),
          error: error === undefined ? null : { code: error.code, message: error.summary },
          video_filename: files[index]!.fileName
        }))
      )
      const successful = results.filter(({ success }) => success).length
      const summary = {
        total_videos: results.length,
        successful_uploads: successful,
        failed_uploads: results.length - successful,
        results
      }
      if (successful === 0) throw new ApiError('batch_failed', { extra: summary })
      const courseId = outcomes.find(({ added }) => added !== undefined)!.added!.lecture.courseId
      return reply.code(201).header('location', `/course/${courseId}/lectures`).send(summary)
    }
  )

  app.patch(
    '/lecture/:id',
    {
      ...teachers,
      schema: {
        operationId: 'updateLecture',
        summary: 'Change the words of a lecture',
        tags,
        params: Params,
        body: LecturePatch,
        response: { 200: LectureReply, ...problemResponses('malformed_json', ...ownerRefusals, 'validation_failed') }
      }
    },
    async (request) => {
      const { id, courseId } = await lectures.find(request.params.id)
      await courses.changeable(request.signedIn(), courseId)
      return await lectureUrls.reply(await lectures.change(id, request.body), request.signedIn(), request.origin)
    }
  )

  app.delete(
    '/lecture/:id',
    {
      ...teachers,
      schema: {
        operationId: 'deleteLecture',
        summary: 'Delete a lecture with its media',
        tags,
        params: Params,
        response: { 204: Type.Null({ description: 'Deleted.' }), ...problemResponses(...ownerRefusals) }
      }
    },
    async (request, reply) => {
      const lecture = await lectures.find(request.params.id)
      await courses.changeable(request.signedIn(), lecture.courseId)
      await lectures.remove(lecture)
      return reply.code(204).send(null)
    }
  )

  app.post(
    '/lecture/:id/progress',
    {
      preParsing: app.requireRole('student'),
      config,
      schema: {
        operationId: 'reportProgress',
        summary: 'Say how far you are',
        description: 'The largest report counts, so repeats and late ones do no harm. Completed at 90 % watched.',
        tags,
        params: Params,
        body: ProgressBody,
        response: {
          200: ProgressOfLecture,
          ...problemResponses(
            'malformed_json',
            'not_authenticated',
            'invalid_token',
            'role_required',
            'not_subscribed',
            'not_found',
            'validation_failed'
          )
        }
      }
    },
    async (request) => {
      const { id } = request.signedIn()
      const lecture = await lectures.find(request.params.id)
      await subscriptions.require(id, lecture.courseId)
      return lectureProgressReply(
        await progress.report(id, lecture, request.body.position_seconds, request.body.watched_seconds)
      )
    }
  )
}

/**
 * Whose quota a lecture will count on, before its course is known: an instructor adds to their own, an administrator to
 * anyone's.
 */
function likelyOwner ({ id, role }: Viewer): string | undefined {
  return role === 'admin' ? undefined : id
}

export default routes
