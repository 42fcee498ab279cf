import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import type { Courses } from '../src/courses/courses.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { ProgressReports } from '../src/courses/progress.js'
import {
  CourseProgressReply,
  LectureReply,
  ListedCourse,
  SubscribeBody,
  SubscriptionReply,
  lectureProgressReply,
  listedCourse,
  subscriptionReply
} from '../src/courses/schema.js'
import type { Subscriptions } from '../src/courses/subscriptions.js'
import { NoContent, Uuid } from '../src/schemas/fields.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  courses: Courses
  lectures: Lectures
  lectureUrls: LectureUrls
  progress: ProgressReports
  subscriptions: Subscriptions
}

const tags = ['Subscriptions'] as const
const config = { auth: { roles: ['student'] }, limit: 'course' } as const
const Params = Type.Object({ course_id: Uuid() })

const subscribe = {
  config: { ...config, idempotent: true, scope: 'courses:write' },
  schema: {
    operationId: 'subscribe',
    summary: 'Subscribe to a course',
    tags,
    body: SubscribeBody,
    response: { 201: SubscriptionReply, ...problemResponses('not_found', 'already_subscribed') }
  }
} as const

const unsubscribe = {
  config: { ...config, scope: 'courses:write' },
  schema: {
    operationId: 'unsubscribe',
    summary: 'Unsubscribe from a course',
    description: 'Access to its lectures ends at once.',
    tags,
    params: Params,
    response: { 204: NoContent('Unsubscribed.'), ...problemResponses('not_found') }
  }
} as const

const listSubscribedCourses = {
  config: { ...config, scope: 'courses:read' },
  schema: {
    operationId: 'listSubscribedCourses',
    summary: 'List the courses you are subscribed to',
    tags,
    querystring: PageQuery,
    response: { 200: PageOf(ListedCourse) }
  }
} as const

const listSubscribedLectures = {
  config: { ...config, scope: 'courses:read' },
  schema: {
    operationId: 'listSubscribedLectures',
    summary: 'List the lectures of a course you are subscribed to',
    description: 'In order, each with a newly issued `url`.',
    tags,
    params: Params,
    response: { 200: Type.Array(LectureReply), ...problemResponses('not_subscribed', 'not_found') }
  }
} as const

const getMyProgress = {
  config: { ...config, scope: 'progress' },
  schema: {
    operationId: 'getMyProgress',
    summary: 'Get your progress in a course',
    tags,
    params: Params,
    response: { 200: CourseProgressReply, ...problemResponses('not_subscribed', 'not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { courses, lectures, lectureUrls, progress, subscriptions }
) => {
  app.post('/subscribe', subscribe, (request, reply) =>
    reply.createOnce(async (creation) => {
      await subscriptions.subscribe(request.requireViewer().id, request.body.course_id, (trx, subscription) =>
        creation.created(
          trx,
          `/subscribe/my-courses/${subscription.courseId}/lectures`,
          subscriptionReply(subscription)
        )
      )
    })
  )

  app.delete('/subscribe/:course_id', unsubscribe, async (request, reply) => {
    await subscriptions.unsubscribe(request.requireViewer().id, request.params.course_id)
    return reply.code(204).send(null)
  })

  app.get('/subscribe/my-courses', listSubscribedCourses, async (request) =>
    mapPage(await courses.list({ studentId: request.requireViewer().id }, request.query), listedCourse)
  )

  app.get('/subscribe/my-courses/:course_id/lectures', listSubscribedLectures, async (request) => {
    const viewer = request.requireViewer()
    const course = await subscriptions.require(viewer.id, request.params.course_id)
    const listed = await lectures.list(course.id)
    return await Promise.all(listed.map((one) => lectureUrls.reply(one, viewer, request.origin)))
  })

  app.get('/subscribe/my-courses/:course_id/progress', getMyProgress, async (request) => {
    const viewer = request.requireViewer()
    const course = await subscriptions.require(viewer.id, request.params.course_id)
    const { percent, lectures: each } = await progress.ofStudent(viewer.id, course.id)
    return { percent, lectures: each.map(lectureProgressReply) }
  })
}

export default routes
