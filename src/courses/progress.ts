import type { Kysely } from 'kysely'
import { findCounter, subscribersCounter } from '../database/counters.js'
import { relaxedTransaction } from '../database/dialect.js'
import type { Database } from '../database/tables.js'
import { ApiError } from '../errors.js'
import { SECOND, type Clock } from '../time.js'
import type { ViewCounts, Views } from '../views/views.js'
import type { Lectures, LectureWithMedia } from './lectures.js'
import { listLectures } from './lecture-store.js'
import { findCountedProgress, insertProgress, listProgress, type Progress } from './progress-store.js'
import type { Lecture } from './schema.js'
import { lockSubscription } from './subscription-store.js'
import { isCompleted, listTallies, settleTallies, type LectureTally } from './tally-store.js'

export interface LectureProgress {
  lectureId: string
  positionSeconds: number
  percent: number
  completed: boolean
}
export interface CourseProgress {
  percent: number
  lectures: LectureProgress[]
}
export interface LectureFigures extends ViewCounts {
  lectureId: string
  title: string
  started: number
  completed: number
}
export interface CourseFigures {
  subscribers: number
  lectures: LectureFigures[]
  dropOffLectureId: string | null
}

export type ProgressBook = ReturnType<typeof createProgress>

/** How far students are, and where they stop. */
export function createProgress ({
  db,
  lectures,
  views,
  clock
}: {
  db: Kysely<Database>
  lectures: Lectures
  views: Views
  clock: Clock
}) {
  return {
    /**
     * Reports how far a student is; the largest of all reports counts, and nothing counts beyond the lecture's length.
     * **Throws** `not_found`.
     */
    async report (
      studentId: string,
      lecture: Lecture,
      positionSeconds: number,
      watchedSeconds: number
    ): Promise<LectureProgress> {
      const [one] = await lectures.withMedia([lecture])
      if (one === undefined) throw new ApiError('not_found')
      const { media } = one
      const within = (seconds: number) =>
        Math.min(Math.round(seconds * SECOND), media.durationMs ?? Number.MAX_SAFE_INTEGER)
      const report = {
        lectureId: lecture.id,
        studentId,
        positionMs: within(positionSeconds),
        watchedMs: within(watchedSeconds)
      }
      // Players report every few seconds: the next report says what a power cut took back.
      const known = await relaxedTransaction(db, async (trx) => {
        // Reports of one student in one course follow one another: each sees what the last one was counted in.
        await lockSubscription(trx, studentId, lecture.courseId)
        const counted = await findCountedProgress(trx, lecture.id, studentId)
        const known = await insertProgress(trx, report, clock.now())
        if (counted !== isCompleted(known.watchedMs, media.durationMs)) {
          await settleTallies(trx, lecture.courseId, [studentId])
        }
        return known
      })
      return progressOf(one, known)
    },

    /** A student's progress in a course: by lecture, and in all by how much of its length was watched. */
    async ofStudent (studentId: string, courseId: string): Promise<CourseProgress> {
      const all = await lectures.list(courseId)
      const known = new Map(
        (await listProgress(db, courseId, studentId)).map((progress) => [progress.lectureId, progress])
      )
      const total = all.reduce((sum, { media }) => sum + (media.durationMs ?? 0), 0)
      const watched = all.reduce(
        (sum, { lecture, media }) => sum + Math.min(known.get(lecture.id)?.watchedMs ?? 0, media.durationMs ?? 0),
        0
      )
      return {
        percent: percentOf(watched, total),
        lectures: all.map((one) => progressOf(one, known.get(one.lecture.id)))
      }
    },

    /**
     * The figures of a course, of those who are subscribed now. The drop-off is the lecture that most students left
     * unfinished as the last they started; the earlier one of equals, null if nobody did.
     */
    async figures (courseId: string): Promise<CourseFigures> {
      const all = await listLectures(db, courseId)
      const counts = await views.counts(all.map(({ mediaId }) => mediaId))
      const tallies = new Map(
        (
          await listTallies(
            db,
            all.map(({ id }) => id)
          )
        ).map((tally) => [tally.lectureId, tally])
      )
      return {
        subscribers: await findCounter(db, subscribersCounter(courseId)),
        lectures: all.map(({ id, mediaId, title }) => {
          const { started = 0, completed = 0 } = tallies.get(id) ?? {}
          const { totalViews = 0, uniqueViewers = 0 } = counts.get(mediaId) ?? {}
          return { lectureId: id, title, totalViews, uniqueViewers, started, completed }
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
    completed: known !== undefined && isCompleted(known.watchedMs, one.media.durationMs)
  }
}

/** With one decimal, at most 100; 0 of nothing. */
function percentOf (part: number, whole: number): number {
  return whole === 0 ? 0 : Math.min(100, Math.round((1000 * part) / whole) / 10)
}

function dropOff (all: Lecture[], tallies: Map<string, LectureTally>): string | null {
  let worst: string | null = null
  const stopped = (id: string) => tallies.get(id)?.stopped ?? 0
  for (const { id } of all) if (stopped(id) > (worst === null ? 0 : stopped(worst))) worst = id
  return worst
}
