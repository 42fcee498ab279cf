import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import type { Courses } from '../src/courses/courses.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { ProgressBook } from '../src/courses/progress.js'
import {
  LectureReply,
  ListedCourse,
  ProgressOfLecture,
  SubscribeBody,
  SubscriptionReply,
  lectureProgressReply,
  listedCourse
} from '../src/courses/schema.js'
import type { Subscriptions } from '../src/courses/subscriptions.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'
import { Uuid } from '../src/schemas/fields.js'
import { isoTime } from '../src/time.js'

interface Options {
  courses: Courses
  lectures: Lectures
  lectureUrls: LectureUrls
  progress: ProgressBook
  subscriptions: Subscriptions
}

const tags = ['Subscriptions']
const Params = Type.Object({ course_id: Uuid() })
const CourseProgressReply = Type.Object({
  percent: Type.Number({ description: 'Of the length of the whole course.' }),
  lectures: Type.Array(ProgressOfLecture)
})
const refusals = ['not_authenticated', 'invalid_token', 'role_required'] as const

/** All of these are for students. */
const routes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { courses, lectures, lectureUrls, progress, subscriptions }
) => {
  app.addHook('preParsing', app.requireAccount)
  app.addHook('preParsing', app.requireRole('student'))
  const config = { limit: 'course' as const }

  app.post(
    '/subscribe',
    {
      config,
      schema: {
        operationId: 'subscribe',
        summary: 'Subscribe to a course',
        tags,
        body: SubscribeBody,
        response: {
          201: SubscriptionReply,
          ...problemResponses('malformed_json', ...refusals, 'not_found', 'already_subscribed', 'validation_failed')
        }
      }
    },
    async (request, reply) => {
      const { id, studentId, courseId, createdAt } = await subscriptions.subscribe(
        request.signedIn().id,
        request.body.course_id
      )
      return reply
        .code(201)
        .header('location', `/subscribe/my-courses/${courseId}/lectures`)
        .send({ id, student_id: studentId, course_id: courseId, created_at: isoTime(createdAt) })
    }
  )

  app.delete(
    '/subscribe/:course_id',
    {
      config,
      schema: {
        operationId: 'unsubscribe',
        summary: 'Leave a course; access ends at once',
        tags,
        params: Params,
        response: { 204: Type.Null({ description: 'Left.' }), ...problemResponses(...refusals, 'not_found') }
      }
    },
    async (request, reply) => {
      await subscriptions.unsubscribe(request.signedIn().id, request.params.course_id)
      return reply.code(204).send(null)
    }
  )

  app.get(
    '/subscribe/my-courses',
    {
      config,
      schema: {
        operationId: 'listSubscribedCourses',
        summary: 'The courses you are subscribed to',
        tags,
        querystring: PageQuery,
        response: { 200: PageOf(ListedCourse), ...problemResponses(...refusals, 'validation_failed') }
      }
    },
    async (request) => {
      return mapPage(await courses.list({ studentId: request.signedIn().id }, request.query), listedCourse)
    }
  )

  app.get(
    '/subscribe/my-courses/:course_id/lectures',
    {
      config,
      schema: {
        operationId: 'listSubscribedLectures',
        summary: 'The lectures of a course you are subscribed to, each with a fresh address',
        tags,
        params: Params,
        response: { 200: Type.Array(LectureReply), ...problemResponses(...refusals, 'not_subscribed', 'not_found') }
      }
    },
    async (request) => {
      const viewer = request.signedIn()
      const course = await subscriptions.require(viewer.id, request.params.course_id)
      return await Promise.all(
        (await lectures.list(course.id)).map((one) => lectureUrls.reply(one, viewer, request.origin))
      )
    }
  )

  app.get(
    '/subscribe/my-courses/:course_id/progress',
    {
      config,
      schema: {
        operationId: 'getMyProgress',
        summary: 'How far you are in a course',
        tags,
        params: Params,
        response: { 200: CourseProgressReply, ...problemResponses(...refusals, 'not_subscribed', 'not_found') }
      }
    },
    async (request) => {
      const viewer = request.signedIn()
      const course = await subscriptions.require(viewer.id, request.params.course_id)
      const { percent, lectures: each } = await progress.ofStudent(viewer.id, course.id)
      return { percent, lectures: each.map(lectureProgressReply) }
    }
  )
}

export default routes
