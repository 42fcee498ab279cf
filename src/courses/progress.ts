import type { Kysely } from 'kysely'
import { relaxedTransaction } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { SECOND, type Clock } from '../time.js'
import type { ViewCounts, Views } from '../views/views.js'
import type { Lectures, LectureWithMedia } from './lectures.js'
import { COMPLETED_SHARE, insertProgress, listProgress, listTallies, type LectureTally, type Progress } from './progress-store.js'
import type { Lecture } from './schema.js'
import { findSubscriberCount } from './subscription-store.js'

export interface LectureProgress { lectureId: string, positionSeconds: number, percent: number, completed: boolean }
export interface CourseProgress { percent: number, lectures: LectureProgress[] }
export interface LectureFigures extends ViewCounts { lectureId: string, title: string, started: number, completed: number }
export interface CourseFigures { subscribers: number, lectures: LectureFigures[], dropOffLectureId: string | null }

export type ProgressBook = ReturnType<typeof createProgress>

/** How far students are, and where they stop. */
export function createProgress ({ db, lectures, views, now }: { db: Kysely<Database>, lectures: Lectures, views: Views, now: Clock }) {
  return {
    /** Reports how far a student is; the largest of all reports counts, and nothing counts beyond the lecture's length. Throws `not_found`. */
    async report (studentId: string, lecture: Lecture, positionSeconds: number, watchedSeconds: number): Promise<LectureProgress> {
      const [one] = await lectures.withMedia([lecture])
      if (one === undefined) throw new ApiError('not_found')
      const { media } = one
      const within = (seconds: number) => Math.min(Math.round(seconds * SECOND), media.durationMs ?? Number.MAX_SAFE_INTEGER)
      const report = { lectureId: lecture.id, studentId, positionMs: within(positionSeconds), watchedMs: within(watchedSeconds) }
      // Players report every few seconds: the next report says what a power cut took back.
      const known = await relaxedTransaction(db, (trx) => insertProgress(trx, report, now()))
      return progressOf(one, known)
    },

    /** A student's progress in a course: by lecture, and in all by how much of its length was watched. */
    async ofStudent (studentId: string, courseId: string): Promise<CourseProgress> {
      const all = await lectures.list(courseId)
      const known = new Map((await listProgress(db, courseId, studentId)).map((progress) => [progress.lectureId, progress]))
      const total = all.reduce((sum, { media }) => sum + (media.durationMs ?? 0), 0)
      const watched = all.reduce((sum, { lecture, media }) => sum + Math.min(known.get(lecture.id)?.watchedMs ?? 0, media.durationMs ?? 0), 0)
      return { percent: percentOf(watched, total), lectures: all.map((one) => progressOf(one, known.get(one.lecture.id))) }
    },

    /**
     * The figures of a course, of those who are subscribed now. The drop-off is the lecture that most students left unfinished as the
     * last they started; the earlier one of equals, null if nobody did.
     */
    async figures (courseId: string): Promise<CourseFigures> {
      const all = await lectures.list(courseId)
      const counts = await views.counts(all.map(({ media }) => media.id))
      const tallies = new Map((await listTallies(db, courseId)).map((tally) => [tally.lectureId, tally]))
      return {
        subscribers: await findSubscriberCount(db, courseId),
        lectures: all.map((one) => {
          const { started = 0, completed = 0 } = tallies.get(one.lecture.id) ?? {}
          const { totalViews = 0, uniqueViewers = 0 } = counts.get(one.media.id) ?? {}
          return { lectureId: one.lecture.id, title: one.lecture.title, totalViews, uniqueViewers, started, completed }
        }),
        dropOffLectureId: dropOff(all, tallies)
      }
    }
  }
}

function progressOf (one: LectureWithMedia, known: Progress | undefined): LectureProgress {
  return {
    lectureId: one.lecture.id,
    positionSeconds: (known?.positionMs ?? 0) / SECOND,
    percent: percentOf(known?.watchedMs ?? 0, one.media.durationMs ?? 0),
    completed: known !== undefined && isCompleted(one, known)
  }
}

function isCompleted ({ media }: LectureWithMedia, { watchedMs }: Progress): boolean {
  return media.durationMs !== null && watchedMs * COMPLETED_SHARE.of >= media.durationMs * COMPLETED_SHARE.part
}

/** With one decimal, at most 100; 0 of nothing. */
function percentOf (part: number, whole: number): number {
  return whole === 0 ? 0 : Math.min(100, Math.round(1000 * part / whole) / 10)
}

function dropOff (all: LectureWithMedia[], tallies: Map<string, LectureTally>): string | null {
  let worst: string | null = null
  const stopped = (id: string) => tallies.get(id)?.stopped ?? 0
  for (const { lecture } of all) if (stopped(lecture.id) > (worst === null ? 0 : stopped(worst))) worst = lecture.id
  return worst
}
