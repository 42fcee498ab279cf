import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { LectureUrls } from '../src/access/lecture-reply.js'
import type { Courses } from '../src/courses/courses.js'
import type { Lectures } from '../src/courses/lectures.js'
import type { ProgressBook } from '../src/courses/progress.js'
import {
  CourseBody,
  CoursePatch,
  CourseReply,
  LectureReply,
  ListedCourse,
  courseReply,
  listedCourse
} from '../src/courses/schema.js'
import { PageOf, PageQuery, mapPage } from '../src/schemas/pagination.js'
import { problemResponses } from '../src/schemas/problem.js'
import { Nullable, Uuid } from '../src/schemas/fields.js'

interface Options {
  courses: Courses
  lectures: Lectures
  lectureUrls: LectureUrls
  progress: ProgressBook
}

const tags = ['Courses']
const config = { limit: 'course' as const }
const Params = Type.Object({ id: Uuid() })
const Order = Type.Object({ lecture_ids: Type.Array(Uuid(), { maxItems: 10_000 }) }, { additionalProperties: false })
const AnalyticsReply = Type.Object({
  course_id: Uuid(),
  subscribers: Type.Integer(),
  lectures: Type.Array(
    Type.Object({
      lecture_id: Uuid(),
      title: Type.String(),
      views: Type.Integer(),
      unique_viewers: Type.Integer(),
      started: Type.Integer({ description: 'Subscribers who reported any progress.' }),
      completed: Type.Integer({ description: 'Subscribers who watched 90 % or more.' })
    })
  ),
  drop_off_lecture_id: Nullable(
    Uuid({ description: 'The lecture that most subscribers left unfinished as the last they started.' })
  )
})

const routes: FastifyPluginAsyncTypebox<Options> = async (app, { courses, lectures, lectureUrls, progress }) => {
  await app.register(async (anyone: typeof app) => {
    anyone.get(
      '/course/all',
      {
        config,
        schema: {
          operationId: 'listCourses',
          summary: 'All courses, newest first',
          tags,
          security: [],
          querystring: PageQuery,
          response: { 200: PageOf(ListedCourse), ...problemResponses('validation_failed') }
        }
      },
      async ({ query }) => {
        return mapPage(await courses.list({}, query), listedCourse)
      }
    )

    anyone.get(
      '/course/:id',
      {
        config,
        schema: {
          operationId: 'getCourse',
          summary: 'One course',
          tags,
          security: [],
          params: Params,
          response: { 200: CourseReply, ...problemResponses('not_found') }
        }
      },
      async ({ params }) => courseReply(await courses.find(params.id))
    )
  })

  await app.register(async (signedIn: typeof app) => {
    signedIn.addHook('preParsing', app.requireAccount)
    const teachers = { preParsing: app.requireRole('admin', 'instructor'), config }
    const refusals = ['not_authenticated', 'invalid_token', 'role_required'] as const
    const ownerRefusals = [...refusals, 'not_owner', 'not_found'] as const

    signedIn.post(
      '/course',
      {
        ...teachers,
        schema: {
          operationId: 'createCourse',
          summary: 'Make a course',
          tags,
          body: CourseBody,
          response: { 201: CourseReply, ...problemResponses('malformed_json', ...refusals, 'validation_failed') }
        }
      },
      async (request, reply) => {
        const course = await courses.create(request.signedIn().id, request.body)
        return reply.code(201).header('location', `/course/${course.id}`).send(courseReply(course))
      }
    )

    signedIn.get(
      '/course/mine',
      {
        ...teachers,
        schema: {
          operationId: 'listMyCourses',
          summary: 'Your own courses, newest first',
          tags,
          querystring: PageQuery,
          response: { 200: PageOf(CourseReply), ...problemResponses(...refusals, 'validation_failed') }
        }
      },
      async (request) => {
        const page = await courses.list({ ownerId: request.signedIn().id }, request.query)
        return mapPage(page, ({ course }) => courseReply(course))
      }
    )

    signedIn.patch(
      '/course/:id',
      {
        ...teachers,
        schema: {
          operationId: 'updateCourse',
          summary: 'Change a course',
          tags,
          params: Params,
          body: CoursePatch,
          response: { 200: CourseReply, ...problemResponses('malformed_json', ...ownerRefusals, 'validation_failed') }
        }
      },
      async (request) => {
        const course = await courses.changeable(request.signedIn(), request.params.id)
        const changed = await courses.change(course.id, request.body)
        if (request.body.premium !== undefined) await lectures.followProtection(changed.id)
        return courseReply(changed)
      }
    )

    signedIn.delete(
      '/course/:id',
      {
        ...teachers,
        schema: {
          operationId: 'deleteCourse',
          summary: 'Delete a course with its lectures, their media, and its subscriptions',
          tags,
          params: Params,
          response: { 204: Type.Null({ description: 'Deleted.' }), ...problemResponses(...ownerRefusals) }
        }
      },
      async (request, reply) => {
        const course = await courses.changeable(request.signedIn(), request.params.id)
        await courses.remove(course.id)
        return reply.code(204).send(null)
      }
    )

    signedIn.get(
      '/course/:id/lectures',
      {
        ...teachers,
        schema: {
          operationId: 'listLectures',
          summary: 'The lectures of your course, in their order',
          tags,
          params: Params,
          response: { 200: Type.Array(LectureReply), ...problemResponses(...ownerRefusals) }
        }
      },
      async (request) => {
        const course = await courses.changeable(request.signedIn(), request.params.id)
        return await Promise.all(
          (await lectures.list(course.id)).map((one) => lectureUrls.reply(one, request.signedIn(), request.origin))
        )
      }
    )

    signedIn.put(
      '/course/:id/lectures/order',
      {
        ...teachers,
        schema: {
          operationId: 'orderLectures',
          summary: 'Put the lectures in another order',
          description: 'It must name each lecture of the course once.',
          tags,
          params: Params,
          body: Order,
          response: {
            200: Type.Array(LectureReply),
            ...problemResponses('malformed_json', ...ownerRefusals, 'validation_failed')
          }
        }
      },
      async (request) => {
        const course = await courses.changeable(request.signedIn(), request.params.id)
        await lectures.reorder(course.id, request.body.lecture_ids)
        return await Promise.all(
          (await lectures.list(course.id)).map((one) => lectureUrls.reply(one, request.signedIn(), request.origin))
        )
      }
    )

    signedIn.get(
      '/course/:id/analytics',
      {
        ...teachers,
        schema: {
          operationId: 'getCourseAnalytics',
          summary: 'Subscribers, views and completion by lecture, and where most stop',
          tags,
          params: Params,
          response: { 200: AnalyticsReply, ...problemResponses(...ownerRefusals) }
        }
      },
      async (request) => {
        const course = await courses.changeable(request.signedIn(), request.params.id)
        const figures = await progress.figures(course.id)
        return {
          course_id: course.id,
          subscribers: figures.subscribers,
          lectures: figures.lectures.map((one) => ({
            lecture_id: one.lectureId,
            title: one.title,
            views: one.totalViews,
            unique_viewers: one.uniqueViewers,
            started: one.started,
            completed: one.completed
          })),
          drop_off_lecture_id: figures.dropOffLectureId
        }
      }
    )
  })
}

export default routes
