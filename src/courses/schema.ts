import { Type, type Static } from '@sinclair/typebox'
import { FailureReply, MediaStatusSchema } from '../media/schema.js'
import { DrmReply } from '../protection/schema.js'
import { DateTime, MultiLine, Nullable, SingleLine, Uuid } from '../schemas/fields.js'
import { defineForm } from '../schemas/form.js'
import { SECOND, isoTime } from '../time.js'

export interface Course {
  id: string
  ownerId: string
  title: string
  description: string
  premium: boolean
  durationMs: number
  lecturesCount: number
  createdAt: number
  updatedAt: number
}

/** The fields of a course that a client sets. */
export type CourseInput = Pick<Course, 'title' | 'description' | 'premium'>

export interface Lecture {
  id: string
  courseId: string
  mediaId: string
  title: string
  description: string
  category: string
  subcategory: string
  position: number
  createdAt: number
  updatedAt: number
}

export interface Subscription {
  id: string
  studentId: string
  courseId: string
  createdAt: number
}

const courseFields = {
  title: SingleLine(200, { examples: ['Introduction to Algorithms'] }),
  description: MultiLine(1000, { examples: ['Sorting, searching, and why it matters.'] }),
  premium: Type.Boolean({ description: 'Lectures of premium courses are protected streams.' })
}
export const CourseBody = Type.Object(
  { ...courseFields, premium: Type.Boolean({ default: false }) },
  { additionalProperties: false }
)
export const CoursePatch = Type.Partial(Type.Object(courseFields), { additionalProperties: false, minProperties: 1 })

const lectureFields = {
  title: SingleLine(200, { examples: ['Sorting'] }),
  description: MultiLine(1000, { examples: ['From bubble sort to quicksort.'] }),
  category: SingleLine(100, { examples: ['Computer science'] }),
  subcategory: SingleLine(100, { examples: ['Algorithms'] })
}
/** Accepts any text, so that a malformed id gets the same response as an unknown id. */
const courseId = SingleLine(100, { description: 'The course.', examples: ['019377a4-3f00-7000-8000-000000000000'] })

/** The text fields of one lecture's form. */
export const LectureFields = Type.Object({ ...lectureFields, course_id: courseId }, { additionalProperties: false })
export const LectureForm = defineForm(LectureFields, { name: 'lecture_file' })
export const LecturePatch = Type.Partial(Type.Object(lectureFields), { additionalProperties: false, minProperties: 1 })
/** The text fields of a batch's form. Each entry of the array in `lectures_data` is a {@link LectureFields}. */
export const BatchFields = Type.Object(
  {
    lectures_data: Type.String({
      description:
        'A JSON array with one object for each file, in the same order: ' +
        'title, description, category, subcategory, course_id.'
    }),
    course_id: Type.Optional(Type.String({ description: 'The course of the lectures that name none.' }))
  },
  { additionalProperties: false }
)
export const BatchForm = defineForm(BatchFields, { name: 'lectures_files', maxFiles: 2 })
export const SubscribeBody = Type.Object({ course_id: courseId }, { additionalProperties: false })

export const CourseReply = Type.Object({
  id: Uuid(),
  title: Type.String(),
  description: Type.String(),
  duration: Type.Number({ description: 'Seconds, the sum over the lectures.' }),
  lectures_count: Type.Integer(),
  premium: Type.Boolean(),
  instructor_id: Uuid(),
  created_at: DateTime(),
  updated_at: DateTime()
})
export const ListedCourse = Type.Object({
  ...CourseReply.properties,
  instructor: Type.Object({ first_name: Nullable(Type.String()), last_name: Nullable(Type.String()) })
})
export const LectureReply = Type.Object({
  id: Uuid(),
  title: Type.String(),
  description: Type.String(),
  media_id: Uuid({ description: 'The media of the lecture, for views, analytics and the player.' }),
  asset_id: Nullable(
    Type.String({ description: 'The id of the media, or of the asset at Mux; null until Mux has one.' })
  ),
  playback_id: Nullable(
    Type.String({ description: 'The id of the media, or of the playback at Mux; null until it is ready.' })
  ),
  url: Nullable(
    Type.String({
      description: 'A link that is issued to you on each read, and expires. Null while the lecture cannot be played.'
    })
  ),
  poster_url: Nullable(
    Type.String({ description: 'A picture of the lecture, by the same link; null without a picture.' })
  ),
  drm: Type.Optional(DrmReply),
  duration: Type.Number({ description: 'Seconds.' }),
  category: Type.String(),
  subcategory: Type.String(),
  course_id: Uuid(),
  position: Type.Integer({ description: '1 for the first.' }),
  status: MediaStatusSchema,
  error: Type.Optional(FailureReply),
  created_at: DateTime(),
  updated_at: DateTime()
})
export const BatchReply = Type.Object({
  total_videos: Type.Integer(),
  successful_uploads: Type.Integer(),
  failed_uploads: Type.Integer(),
  results: Type.Array(
    Type.Object({
      success: Type.Boolean(),
      lecture: Nullable(LectureReply),
      error: Nullable(FailureReply),
      video_filename: Type.String()
    })
  )
})
export const CourseAnalyticsReply = Type.Object({
  course_id: Uuid(),
  subscribers: Type.Integer(),
  lectures: Type.Array(
    Type.Object({
      lecture_id: Uuid(),
      title: Type.String(),
      views: Type.Integer(),
      unique_viewers: Type.Integer(),
      started: Type.Integer({ description: 'Subscribers who reported any progress.' }),
      completed: Type.Integer({ description: 'Subscribers who watched at least 90 %.' })
    })
  ),
  drop_off_lecture_id: Nullable(
    Uuid({ description: 'The lecture that the most subscribers started last and left unfinished.' })
  )
})
export const SubscriptionReply = Type.Object({
  id: Uuid(),
  student_id: Uuid(),
  course_id: Uuid(),
  created_at: DateTime()
})

export function courseReply (course: Course): Static<typeof CourseReply> {
  return {
    id: course.id,
    title: course.title,
    description: course.description,
    duration: course.durationMs / SECOND,
    lectures_count: course.lecturesCount,
    premium: course.premium,
    instructor_id: course.ownerId,
    created_at: isoTime(course.createdAt),
    updated_at: isoTime(course.updatedAt)
  }
}

export function listedCourse ({
  course,
  firstName,
  lastName
}: {
  course: Course
  firstName: string | null
  lastName: string | null
}): Static<typeof ListedCourse> {
  // In V8, an object literal with a spread before other fields is ten times slower.
  return Object.assign(courseReply(course), { instructor: { first_name: firstName, last_name: lastName } })
}

export function subscriptionReply (subscription: Subscription): Static<typeof SubscriptionReply> {
  return {
    id: subscription.id,
    student_id: subscription.studentId,
    course_id: subscription.courseId,
    created_at: isoTime(subscription.createdAt)
  }
}

/** One year, which is longer than any lecture. */
const MAX_SECONDS = 31_536_000
const seconds = Type.Number({ minimum: 0, maximum: MAX_SECONDS, examples: [90] })
export const ProgressBody = Type.Object(
  { position_seconds: seconds, watched_seconds: seconds },
  { additionalProperties: false }
)
export const ProgressOfLecture = Type.Object({
  lecture_id: Uuid(),
  position_seconds: Type.Number(),
  percent: Type.Number({ description: 'The watched part of the lecture, at most 100.' }),
  completed: Type.Boolean()
})

export const CourseProgressReply = Type.Object({
  percent: Type.Number({ description: 'Watched, of the duration of the whole course.' }),
  lectures: Type.Array(ProgressOfLecture)
})

export function lectureProgressReply (progress: {
  lectureId: string
  positionSeconds: number
  percent: number
  completed: boolean
}): Static<typeof ProgressOfLecture> {
  return {
    lecture_id: progress.lectureId,
    position_seconds: progress.positionSeconds,
    percent: progress.percent,
    completed: progress.completed
  }
}
