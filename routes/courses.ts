import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import { publisherRoles } from '../src/accounts/schema.js'
import type { Courses } from '../src/courses/courses.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { CourseAnalytics, ProgressReports } from '../src/courses/progress.js'
import {
  CourseAnalyticsReply,
  CourseBody,
  CoursePatch,
  CourseReply,
  LectureReply,
  ListedCourse,
  courseReply,
  listedCourse
} from '../src/courses/schema.js'
import { IdParams, NoContent, Uuid } from '../src/schemas/fields.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'

interface Options {
  courses: Courses
  lectures: Lectures
  lectureUrls: LectureUrls
  progress: ProgressReports
}

const tags = ['Courses'] as const
const forAnyone = { limit: 'course' } as const
const forPublishers = { auth: { roles: publisherRoles }, limit: 'course' } as const
const Order = Type.Object({ lecture_ids: Type.Array(Uuid(), { maxItems: 10_000 }) }, { additionalProperties: false })

const listCourses = {
  config: forAnyone,
  schema: {
    operationId: 'listCourses',
    summary: 'List all courses, newest first',
    tags,
    querystring: PageQuery,
    response: { 200: PageOf(ListedCourse) }
  }
} as const

const getCourse = {
  config: forAnyone,
  schema: {
    operationId: 'getCourse',
    summary: 'Get a course',
    tags,
    params: IdParams,
    response: { 200: CourseReply, ...problemResponses('not_found') }
  }
} as const

const createCourse = {
  config: { ...forPublishers, idempotent: true, scope: 'courses:write' },
  schema: {
    operationId: 'createCourse',
    summary: 'Create a course',
    tags,
    body: CourseBody,
    response: { 201: CourseReply }
  }
} as const

const listMyCourses = {
  config: { ...forPublishers, scope: 'courses:read' },
  schema: {
    operationId: 'listMyCourses',
    summary: 'List your own courses, newest first',
    tags,
    querystring: PageQuery,
    response: { 200: PageOf(CourseReply) }
  }
} as const

const updateCourse = {
  config: { ...forPublishers, scope: 'courses:write' },
  schema: {
    operationId: 'updateCourse',
    summary: 'Change a course',
    tags,
    params: IdParams,
    body: CoursePatch,
    response: { 200: CourseReply, ...problemResponses('not_owner', 'not_found') }
  }
} as const

const deleteCourse = {
  config: { ...forPublishers, scope: 'courses:write' },
  schema: {
    operationId: 'deleteCourse',
    summary: 'Delete a course with its lectures, their media and its subscriptions',
    tags,
    params: IdParams,
    response: { 204: NoContent('Deleted.'), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const listLectures = {
  config: { ...forPublishers, scope: 'courses:read' },
  schema: {
    operationId: 'listLectures',
    summary: 'List the lectures of your course, in order',
    tags,
    params: IdParams,
    response: { 200: Type.Array(LectureReply), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const orderLectures = {
  config: { ...forPublishers, scope: 'courses:write' },
  schema: {
    operationId: 'orderLectures',
    summary: 'Change the order of the lectures',
    description: 'The list must name each lecture of the course once.',
    tags,
    params: IdParams,
    body: Order,
    response: { 200: Type.Array(LectureReply), ...problemResponses('not_owner', 'not_found') }
  }
} as const

const getCourseAnalytics = {
  config: { ...forPublishers, scope: 'analytics:read' },
  schema: {
    operationId: 'getCourseAnalytics',
    summary: 'Get the subscribers, views and completion of a course, by lecture',
    tags,
    params: IdParams,
    response: { 200: CourseAnalyticsReply, ...problemResponses('not_owner', 'not_found') }
  }
} as const

const routes: FastifyPluginAsyncTypebox<Options> = async (app, options) => {
  await app.register(courseRoutes, options)
  await app.register(contentRoutes, options)
}

const courseRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { courses, lectures }) => {
  app.get('/course/all', listCourses, async ({ query }) => mapPage(await courses.list({}, query), listedCourse))

  app.get('/course/:id', getCourse, async ({ params }) => courseReply(await courses.find(params.id)))

  app.post('/course', createCourse, (request, reply) =>
    reply.createOnce(async (creation) => {
      await courses.create(request.requireViewer().id, request.body, (trx, course) =>
        creation.created(trx, `/course/${course.id}`, courseReply(course))
      )
    })
  )

  app.get('/course/mine', listMyCourses, async (request) => {
    const page = await courses.list({ ownerId: request.requireViewer().id }, request.query)
    return mapPage(page, ({ course }) => courseReply(course))
  })

  app.patch('/course/:id', updateCourse, async (request) => {
    const course = await courses.changeable(request.requireViewer(), request.params.id)
    const changed = await courses.change(course.id, request.body)
    if (request.body.premium !== undefined) await lectures.followProtection(changed.id)
    return courseReply(changed)
  })

  app.delete('/course/:id', deleteCourse, async (request, reply) => {
    const course = await courses.changeable(request.requireViewer(), request.params.id)
    await courses.remove(course.id)
    return reply.code(204).send(null)
  })
}

/** The routes for the lectures of a course and for its analytics. */
const contentRoutes: FastifyPluginAsyncTypebox<Options> = async (app, { courses, lectures, lectureUrls, progress }) => {
  app.get('/course/:id/lectures', listLectures, async (request) => {
    const course = await courses.changeable(request.requireViewer(), request.params.id)
    return await repliesFor(request, course.id)
  })

  app.put('/course/:id/lectures/order', orderLectures, async (request) => {
    const course = await courses.changeable(request.requireViewer(), request.params.id)
    await lectures.reorder(course.id, request.body.lecture_ids)
    return await repliesFor(request, course.id)
  })

  app.get('/course/:id/analytics', getCourseAnalytics, async (request) => {
    const course = await courses.changeable(request.requireViewer(), request.params.id)
    return analyticsReply(course.id, await progress.analytics(course.id))
  })

  async function repliesFor (request: FastifyRequest, courseId: string) {
    const listed = await lectures.list(courseId)
    return await Promise.all(listed.map((one) => lectureUrls.reply(one, request.requireViewer(), request.origin)))
  }
}

function analyticsReply (courseId: string, analytics: CourseAnalytics): Static<typeof CourseAnalyticsReply> {
  return {
    course_id: courseId,
    subscribers: analytics.subscribers,
    lectures: analytics.lectures.map((one) => ({
      lecture_id: one.lectureId,
      title: one.title,
      views: one.totalViews,
      unique_viewers: one.uniqueViewers,
      started: one.started,
      completed: one.completed
    })),
    drop_off_lecture_id: analytics.dropOffLectureId
  }
}

export default routes
