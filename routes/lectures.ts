import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import { publisherRoles, type Viewer } from '../src/accounts/schema.js'
import type { Courses } from '../src/courses/courses.js'
import type { BatchOutcome, LectureBatch } from '../src/courses/lecture-batch.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { ProgressBook } from '../src/courses/progress.js'
import {
  BatchForm,
  BatchReply,
  LectureFields,
  LectureForm,
  LecturePatch,
  LectureReply,
  ProgressBody,
  ProgressOfLecture,
  lectureProgressReply
} from '../src/courses/schema.js'
import type { Subscriptions } from '../src/courses/subscriptions.js'
import { ApiError } from '../src/errors.js'
import type { Intake } from '../src/media/uploads.js'
import { IdParams, NoContent } from '../src/schemas/fields.js'
import { PUBLISH_PROBLEMS, problemResponses } from '../src/schemas/problem.js'

interface Options {
  batch: LectureBatch
  courses: Courses
  intake: Intake
  lectures: Lectures
  lectureUrls: LectureUrls
  progress: ProgressBook
  subscriptions: Subscriptions
}

const tags = ['Lectures'] as const
const forPublishers = { auth: { roles: publisherRoles }, limit: 'course' } as const

const addLecture = {
  config: { ...forPublishers, form: LectureForm },
  schema: {
    operationId: 'addLecture',
    summary: 'Upload a lecture to the end of your course',
    tags,
    response: { 201: LectureReply, ...problemResponses('not_owner', 'not_found', ...PUBLISH_PROBLEMS) }
  }
} as const

const addLectures = {
  config: { ...forPublishers, form: BatchForm, checks: [LectureFields] },
  schema: {
    operationId: 'addLectures',
    summary: 'Upload one or two lectures',
    description:
      'Each lecture succeeds or fails independently: see `results`. ' +
      'If all of them fail, the response is a 422 with the same `results`.',
    tags,
    response: { 201: BatchReply, ...problemResponses('batch_failed') }
  }
} as const

const updateLecture = {
  config: forPublishers,
  schema: {
    operationId: 'updateLecture',
    summary: 'Change the texts of a lecture',
    tags,
    params: IdParams,
    body: LecturePatch,
    response: { 200: LectureReply, ...problemResponses('not_owner', 'not_found') }
  }
} as const

const deleteLecture = {
  config: forPublishers,
  schema: {
    operationId: 'deleteLecture',
    summary: 'Delete a lecture with its media',
    tags,
    params: IdParams,
    response: { 204: NoContent('Deleted.'), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const reportProgress = {
  config: { auth: { roles: ['student'] }, limit: 'course' },
  schema: {
    operationId: 'reportProgress',
    summary: 'Report how far you have watched a lecture',
    description:
      'The largest report counts: repeated and late reports change nothing. ' +
      'A lecture is completed at 90 % watched.',
    tags,
    params: IdParams,
    body: ProgressBody,
    response: { 200: ProgressOfLecture, ...problemResponses('not_subscribed', 'not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  await app.register(uploadRoutes, options)
  await app.register(lectureRoutes, options)
}

const uploadRoutes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { batch, courses, intake, lectures, lectureUrls }
) => {
  app.post('/course/add-lecture', addLecture, async (request, reply) => {
    const viewer = request.requireViewer()
    const { fields, files } = await request.receiveForm(LectureForm, intake.sinkFor(likelyOwner(viewer)))
    const { course_id: courseId, ...text } = fields
    const added = await lectures.add(files[0].received, text, {
      uploaderId: viewer.id,
      courseFor: () => courses.changeable(viewer, courseId)
    })
    const lecture = await lectureUrls.reply(added, viewer, request.origin)
    return reply.code(201).header('location', `/lecture/${lecture.id}`).send(lecture)
  })

  app.post('/course/add-lectures-batch', addLectures, async (request, reply) => {
    const viewer = request.requireViewer()
    const { fields, files } = await request.receiveForm(BatchForm, batch.sinkFor(likelyOwner(viewer)))
    const received = files.map((file) => file.received)
    const outcomes = await batch.add(viewer, received, fields, (schema, entry) => request.checkInput(schema, entry))
    const names = files.map(({ fileName }) => fileName)
    const results = await Promise.all(outcomes.map((outcome, index) => resultOf(outcome, names[index]!, request)))
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
  })

  async function resultOf ({ added, error }: BatchOutcome, fileName: string, request: FastifyRequest) {
    return {
      success: added !== undefined,
      lecture: added === undefined ? null : await lectureUrls.reply(added, request.requireViewer(), request.origin),
      error: error === undefined ? null : { code: error.code, message: error.summary },
      video_filename: fileName
    }
  }
}

const lectureRoutes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { courses, lectures, lectureUrls, progress, subscriptions }
) => {
  app.patch('/lecture/:id', updateLecture, async (request) => {
    const viewer = request.requireViewer()
    const { id, courseId } = await lectures.find(request.params.id)
    await courses.changeable(viewer, courseId)
    return await lectureUrls.reply(await lectures.change(id, request.body), viewer, request.origin)
  })

  app.delete('/lecture/:id', deleteLecture, async (request, reply) => {
    const lecture = await lectures.find(request.params.id)
    await courses.changeable(request.requireViewer(), lecture.courseId)
    await lectures.remove(lecture)
    return reply.code(204).send(null)
  })

  app.post('/lecture/:id/progress', reportProgress, async (request) => {
    const { id } = request.requireViewer()
    const { position_seconds: positionSeconds, watched_seconds: watchedSeconds } = request.body
    const lecture = await lectures.find(request.params.id)
    await subscriptions.require(id, lecture.courseId)
    return lectureProgressReply(await progress.report(id, lecture, { positionSeconds, watchedSeconds }))
  })
}

/**
 * Returns the account whose quota a new lecture will count against, before its course is known. An instructor adds
 * lectures only to their own courses; an administrator may add them to any course.
 */
function likelyOwner ({ id, role }: Viewer): string | undefined {
  return role === 'admin' ? undefined : id
}

export default routes
