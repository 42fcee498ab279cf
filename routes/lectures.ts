import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Static } from '@sinclair/typebox'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import { publisherRoles, type Viewer } from '../src/accounts/schema.js'
import type { Courses } from '../src/courses/courses.js'
import type { BatchOutcome, LectureBatch } from '../src/courses/lecture-batch.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { ProgressReports } from '../src/courses/progress.js'
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
  progress: ProgressReports
  subscriptions: Subscriptions
}

const tags = ['Lectures'] as const
const forPublishers = { auth: { roles: publisherRoles }, limit: 'course' } as const

const addLecture = {
  config: { ...forPublishers, form: LectureForm, idempotent: true, scope: 'courses:write' },
  schema: {
    operationId: 'addLecture',
    summary: 'Upload a lecture to the end of your course',
    tags,
    response: { 201: LectureReply, ...problemResponses('not_owner', 'not_found', ...PUBLISH_PROBLEMS) }
  }
} as const

const addLectures = {
  config: { ...forPublishers, form: BatchForm, checks: [LectureFields], idempotent: true, scope: 'courses:write' },
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
  config: { ...forPublishers, scope: 'courses:write' },
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
  config: { ...forPublishers, scope: 'courses:write' },
  schema: {
    operationId: 'deleteLecture',
    summary: 'Delete a lecture with its media',
    tags,
    params: IdParams,
    response: { 204: NoContent('Deleted.'), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const reportProgress = {
  config: { auth: { roles: ['student'] }, limit: 'course', scope: 'progress' },
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
  app.post('/course/add-lecture', addLecture, (request, reply) =>
    reply.createOnce(async (creation) => {
      const viewer = request.requireViewer()
      const { fields, files } = await creation.receiveForm(LectureForm, intake.sinkFor(likelyOwner(viewer)))
      const { course_id: courseId, ...text } = fields
      await lectures.add(files[0].received, text, {
        uploaderId: viewer.id,
        courseFor: () => courses.changeable(viewer, courseId),
        async attach (trx, added) {
          const lecture = await lectureUrls.reply(added, viewer, request.origin)
          await creation.created(trx, `/lecture/${lecture.id}`, lecture)
        }
      })
    })
  )

  app.post('/course/add-lectures-batch', addLectures, (request, reply) =>
    reply.createOnce(async (creation) => {
      const viewer = request.requireViewer()
      const { fields, files } = await creation.receiveForm(BatchForm, batch.sinkFor(likelyOwner(viewer)))
      const added = new Map((creation.parts as AddedPart[]).map(({ index, lecture }) => [index, lecture]))
      const outcomes = await batch.add(
        { viewer, files: files.map(({ received }) => received), fields },
        {
          check: (schema, entry) => request.checkInput(schema, entry),
          wasAdded: (index) => added.has(index),
          attach: (index) => async (trx, one) => {
            const lecture = await lectureUrls.reply(one, viewer, request.origin)
            added.set(index, lecture)
            await creation.addPart(trx, { index, lecture })
          }
        }
      )
      const names = files.map(({ fileName }) => fileName)
      const summary = summaryOf(outcomes, names, added)
      const courseId = summary.results.find(({ lecture }) => lecture !== null)?.lecture?.course_id
      if (courseId === undefined) throw new ApiError('batch_failed', { extra: summary })
      await creation.created(undefined, `/course/${courseId}/lectures`, summary)
    })
  )
}

/** A lecture of a batch, as it is recorded for a repeated request. */
interface AddedPart {
  index: number
  lecture: Static<typeof LectureReply>
}

function summaryOf (
  outcomes: BatchOutcome[],
  names: string[],
  added: Map<number, AddedPart['lecture']>
): Static<typeof BatchReply> {
  const results = outcomes.map(({ error }, index) => ({
    success: error === undefined,
    lecture: error === undefined ? added.get(index)! : null,
    error: error === undefined ? null : { code: error.code, message: error.summary },
    video_filename: names[index]!
  }))
  const successful = results.filter(({ success }) => success).length
  return {
    total_videos: results.length,
    successful_uploads: successful,
    failed_uploads: results.length - successful,
    results
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
