import type { Kysely, Transaction } from 'kysely'
import { NIL, v7 as uuidv7 } from 'uuid'
import type { Attach } from '../database/attach.js'
import { addToCounters } from '../database/counters.js'
import type { Database } from '../database/tables.js'
import { ApiError, invalidField } from '../errors.js'
import type { Intake } from '../media/uploads.js'
import type { Library } from '../media/library.js'
import { countMedia } from '../media/media-store.js'
import type { Media, Protection } from '../media/schema.js'
import { insertCourseJob } from '../jobs/job-store.js'
import type { Protection as ProtectionRules } from '../protection/protection.js'
import type { Draft } from '../storage/blob-store.js'
import type { Clock } from '../time.js'
import { findCourse, lockCourse, updateCourseSums } from './course-store.js'
import {
  findCourseIdOfMedia,
  findLecture,
  insertLecture,
  listLectures,
  listUnprotected,
  markLectureDeleted,
  updateLecture,
  updatePositions
} from './lecture-store.js'
import type { Course, Lecture } from './schema.js'
import { trimmed } from './trimmed.js'

export interface LectureText {
  title: string
  description: string
  category: string
  subcategory: string
}

/** A lecture and its media. */
export interface LectureWithMedia {
  lecture: Lecture
  media: Media
}

/** The uploader of a lecture, and a function that finds its course. `attach` adds rows in the same transaction. */
export interface LectureOrigin {
  uploaderId: string
  courseFor: () => Promise<Course>
  /** Adds rows in the transaction that adds the lecture. */
  attach?: Attach<LectureWithMedia>
}

/** On SQLite, a batch blocks the event loop for a few milliseconds. */
const PROTECT_BATCH = 1000

interface LecturesOptions {
  db: Kysely<Database>
  intake: Intake
  library: Library
  protections: ProtectionRules
  protectAll: boolean
  clock: Clock
  /** Called after a transaction that queued the tallies of a course. */
  onReordered(): void
}

/** Lectures of courses. Each lecture has a media of the course's owner, which is uploaded like any other media. */
export class Lectures {
  readonly #options: LecturesOptions

  constructor (options: LecturesOptions) {
    this.#options = options
  }

  /** Finds a lecture. **Throws** `not_found`. */
  async find (id: string): Promise<Lecture> {
    const lecture = await findLecture(this.#options.db, id.toLowerCase())
    if (lecture === undefined) throw new ApiError('not_found')
    return lecture
  }

  /** Returns lectures with their media. Leaves out lectures that were deleted after they were read. */
  async withMedia (lectures: Lecture[]): Promise<LectureWithMedia[]> {
    const media = await this.#options.library.findAllNow(lectures.map(({ mediaId }) => mediaId))
    return lectures.flatMap((lecture) =>
      media.has(lecture.mediaId) ? [{ lecture, media: media.get(lecture.mediaId)! }] : []
    )
  }

  /** Lists the lectures of a course by position. */
  async list (courseId: string): Promise<LectureWithMedia[]> {
    return await this.withMedia(await listLectures(this.#options.db, courseId))
  }

  /**
   * Publishes a draft as the last lecture of the course that `courseFor` finds. Updates the sums of the course in the
   * same transaction. **Throws** `not_found`, and the errors of `courseFor` and {@link Intake}. On an error, discards
   * the draft.
   */
  async add (draft: Draft, text: LectureText, origin: LectureOrigin): Promise<LectureWithMedia> {
    const { intake, clock } = this.#options
    const { uploaderId, courseFor, attach } = origin
    const course = await courseFor().catch(async (error: unknown) => {
      await draft.discard()
      throw error
    })
    const now = clock.now()
    const lecture = { id: uuidv7(), courseId: course.id, ...trimmed(text), createdAt: now, updatedAt: now }
    const protection = this.#protectionOf(course)
    const description = { title: lecture.title, ownerId: course.ownerId, uploaderId, protection }
    let added: LectureWithMedia | undefined
    await intake.publish(draft, description, async (trx, media) => {
      const position = await this.#insert(trx, { ...lecture, mediaId: media.id }, media)
      added = { lecture: { ...lecture, mediaId: media.id, position }, media }
      await attach?.(trx, added)
    })
    return added!
  }

  /** Changes the title, the description and the categories of a lecture. **Throws** `not_found`. */
  async change (id: string, text: Partial<LectureText>): Promise<LectureWithMedia> {
    const { db, clock } = this.#options
    const lecture = await updateLecture(db, id, trimmed(text), clock.now())
    const [changed] = lecture === undefined ? [] : await this.withMedia([lecture])
    if (changed === undefined) throw new ApiError('not_found')
    return changed
  }

  /**
   * Turns the protection of a media on or off at its owner's request. Locks the course, because it may become premium
   * at the same time. **Throws** `protection_required` for a lecture whose course requires protection.
   */
  async changeProtection (media: Media, protection: Protection): Promise<void> {
    await this.#options.protections.change(media, async (trx) => {
      const courseId = protection === 'none' ? await findCourseIdOfMedia(trx, media.id) : undefined
      const course = courseId === undefined ? undefined : await lockCourse(trx, courseId)
      if (course !== undefined && this.#protectionOf(course) === 'encrypted') throw new ApiError('protection_required')
      return protection
    })
  }

  /** Turns the protection of a course's lectures on or off, as the course requires. */
  async followProtection (courseId: string): Promise<void> {
    await this.#follow(await listLectures(this.#options.db, courseId))
  }

  /**
   * Protects every unprotected lecture whose course requires protection, and returns their number. Such lectures are
   * older than the PROTECT_LECTURES setting, or the server crashed while their course became premium.
   */
  async protectMissed (): Promise<number> {
    const { db, protectAll } = this.#options
    let missed = 0
    for (let after: string | undefined = NIL; after !== undefined;) {
      const { lectures, lastId } = await listUnprotected(db, protectAll, after, PROTECT_BATCH)
      await this.#follow(lectures)
      missed += lectures.length
      after = lastId
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
    return missed
  }

  /**
   * Deletes a lecture with its media. Hides both at once; a job deletes their rows and files. The sums and positions of
   * the course change in the same transaction. **Throws** `not_found`.
   */
  async remove ({ id, courseId }: Lecture): Promise<void> {
    const { db, library, clock } = this.#options
    const marked = await db.transaction().execute(async (trx) => {
      await lockCourse(trx, courseId)
      const lecture = await markLectureDeleted(trx, id, clock.now())
      if (lecture === undefined) throw new ApiError('not_found')
      const media = await library.markDeleted(trx, [lecture.mediaId])
      await updateCourseSums(trx, courseId, -1, -(media[0]?.durationMs ?? 0))
      await addToCounters(trx, countMedia(new Map(), media, -1))
      return media
    })
    library.released(marked)
  }

  /**
   * Sets the order of a course's lectures. **Throws** `not_found`, and `validation_failed` unless `lectureIds` contains
   * each lecture once.
   */
  async reorder (courseId: string, lectureIds: string[]): Promise<void> {
    const { db, clock, onReordered } = this.#options
    const ids = lectureIds.map((id) => id.toLowerCase())
    await db.transaction().execute(async (trx) => {
      if ((await lockCourse(trx, courseId)) === undefined) throw new ApiError('not_found')
      const known = new Set((await listLectures(trx, courseId)).map(({ id }) => id))
      if (ids.length !== known.size || new Set(ids).size !== ids.length || !ids.every((id) => known.has(id))) {
        throw invalidField('lecture_ids', `must name each of the ${known.size} lectures of the course once`)
      }
      await updatePositions(trx, ids)
      await insertCourseJob(trx, 'tally-course', courseId, clock.now())
    })
    onReordered()
  }

  #protectionOf ({ premium }: Course): Protection {
    return premium || this.#options.protectAll ? 'encrypted' : 'none'
  }

  /** Inserts a lecture in the transaction that publishes its media. Returns its position. */
  async #insert (trx: Transaction<Database>, lecture: Omit<Lecture, 'position'>, media: Media): Promise<number> {
    const { courseId } = lecture
    if (!(await updateCourseSums(trx, courseId, 1, media.durationMs ?? 0))) throw new ApiError('not_found')
    // The course is locked now. It may have become premium during the upload.
    const course = await findCourse(trx, courseId)
    if (course !== undefined && this.#protectionOf(course) === 'encrypted' && media.protection === 'none') {
      await this.#options.protections.changeWithin(trx, media, 'encrypted')
    }
    return await insertLecture(trx, lecture)
  }

  /** Turns the protection of each lecture on or off, as its course requires. Locks the course for each change. */
  async #follow (lectures: Lecture[]): Promise<void> {
    for (const { lecture, media } of await this.withMedia(lectures)) {
      await this.#options.protections
        .change(media, async (trx) => {
          const course = await lockCourse(trx, lecture.courseId)
          if (course === undefined) throw new ApiError('not_found')
          return this.#protectionOf(course)
        })
        .catch((error: unknown) => {
          // A lecture that was deleted meanwhile can be skipped.
          if (!(error instanceof ApiError) || error.code !== 'not_found') throw error
        })
    }
  }
}
