import type { Kysely } from 'kysely'
import { findCounter, subscribersCounter } from '../database/counters.js'
import { nonDurableTransaction } from '../database/dialect.js'
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
export interface LectureAnalytics extends ViewCounts {
  lectureId: string
  title: string
  started: number
  completed: number
}
export interface CourseAnalytics {
  subscribers: number
  lectures: LectureAnalytics[]
  dropOffLectureId: string | null
}

interface ProgressOptions {
  db: Kysely<Database>
  lectures: Lectures
  views: Views
  clock: Clock
}

/** A player's report about a lecture. */
export interface ProgressReport {
  positionSeconds: number
  watchedSeconds: number
}

/** The progress of students in lectures and courses, and the figures of a course. */
export class ProgressReports {
  readonly #options: ProgressOptions

  constructor (options: ProgressOptions) {
    this.#options = options
  }

  /**
   * Records a student's progress. The largest report counts, limited to the duration of the lecture. **Throws**
   * `not_found`.
   */
  async report (studentId: string, lecture: Lecture, report: ProgressReport): Promise<LectureProgress> {
    const [one] = await this.#options.lectures.withMedia([lecture])
    if (one === undefined) throw new ApiError('not_found')
    const { durationMs } = one.media
    const within = (seconds: number) => Math.min(Math.round(seconds * SECOND), durationMs ?? Number.MAX_SAFE_INTEGER)
    const record = {
      lectureId: lecture.id,
      studentId,
      positionMs: within(report.positionSeconds),
      watchedMs: within(report.watchedSeconds)
    }
    // A power cut may lose this report, but the player sends another within seconds.
    const recorded = await nonDurableTransaction(this.#options.db, async (trx) => {
      // The lock serializes the reports of a student in a course, so that each report reads the latest tallies.
      await lockSubscription(trx, studentId, lecture.courseId)
      const isCounted = await findCountedProgress(trx, lecture.id, studentId)
      const recorded = await insertProgress(trx, record, this.#options.clock.now())
      if (isCounted !== isCompleted(recorded.watchedMs, durationMs)) {
        await settleTallies(trx, lecture.courseId, [studentId])
      }
      return recorded
    })
    return progressOf(one, recorded)
  }

  /**
   * Returns a student's progress in each lecture of a course, and in the course as the watched share of its duration.
   */
  async ofStudent (studentId: string, courseId: string): Promise<CourseProgress> {
    const all = await this.#options.lectures.list(courseId)
    const listed = await listProgress(this.#options.db, courseId, studentId)
    const known = new Map(listed.map((progress) => [progress.lectureId, progress]))
    let totalMs = 0
    let watchedMs = 0
    for (const { lecture, media } of all) {
      totalMs += media.durationMs ?? 0
      watchedMs += Math.min(known.get(lecture.id)?.watchedMs ?? 0, media.durationMs ?? 0)
    }
    return {
      percent: percentOf(watchedMs, totalMs),
      lectures: all.map((one) => progressOf(one, known.get(one.lecture.id)))
    }
  }

  /**
   * Returns the figures of a course, which include only current subscribers. The drop-off is the lecture at which most
   * students stopped (see {@link LectureTally}). On a tie, it is the earliest lecture. It is null if no student
   * stopped.
   */
  async analytics (courseId: string): Promise<CourseAnalytics> {
    const { db, views } = this.#options
    const all = await listLectures(db, courseId)
    const counts = await views.counts(all.map(({ mediaId }) => mediaId))
    const lectureIds = all.map(({ id }) => id)
    const tallies = new Map((await listTallies(db, lectureIds)).map((tally) => [tally.lectureId, tally]))
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

function progressOf (one: LectureWithMedia, known: Progress | undefined): LectureProgress {
  return {
    lectureId: one.lecture.id,
    positionSeconds: (known?.positionMs ?? 0) / SECOND,
    percent: percentOf(known?.watchedMs ?? 0, one.media.durationMs ?? 0),
    completed: known !== undefined && isCompleted(known.watchedMs, one.media.durationMs)
  }
}

/** Returns a percentage with one decimal, at most 100. Returns 0 if `whole` is 0. */
function percentOf (part: number, whole: number): number {
  return whole === 0 ? 0 : Math.min(100, Math.round((1000 * part) / whole) / 10)
}

function dropOff (all: Lecture[], tallies: Map<string, LectureTally>): string | null {
  let worst: string | null = null
  const stopped = (id: string) => tallies.get(id)?.stopped ?? 0
  for (const { id } of all) if (stopped(id) > (worst === null ? 0 : stopped(worst))) worst = id
  return worst
}
