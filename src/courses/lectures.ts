import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
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

export interface LectureText {
  title: string
  description: string
  category: string
  subcategory: string
}

/** A lecture and the media it shows. */
export interface LectureWithMedia {
  lecture: Lecture
  media: Media
}

/** Who sends a lecture, and the course that it is for. */
export interface LectureOrigin {
  uploaderId: string
  courseFor: () => Promise<Course>
}

/** Before all ids there are. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000'
/** A few milliseconds of SQLite's event loop. */
const LOOK_BATCH = 1000

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

export type Lectures = ReturnType<typeof createLectures>

/** The lectures of courses. Each is a media of the course's owner, which came in as all media do. */
export function createLectures ({ db, intake, library, protections, protectAll, clock, onReordered }: LecturesOptions) {
  const protectionOf = ({ premium }: Course): Protection => (premium || protectAll ? 'encrypted' : 'none')

  async function withMedia (lectures: Lecture[]): Promise<LectureWithMedia[]> {
    const media = await library.findAllNow(lectures.map(({ mediaId }) => mediaId))
    // One deleted between the two reads is left out.
    return lectures.flatMap((lecture) =>
      media.has(lecture.mediaId) ? [{ lecture, media: media.get(lecture.mediaId)! }] : []
    )
  }

  /** Each by what its course wants at that moment: it is locked meanwhile. */
  async function follow (lectures: Lecture[]): Promise<void> {
    for (const { lecture, media } of await withMedia(lectures)) {
      await protections
        .change(media, async (trx) => {
          const course = await lockCourse(trx, lecture.courseId)
          if (course === undefined) throw new ApiError('not_found')
          return protectionOf(course)
        })
        .catch((error: unknown) => {
          // A lecture that was deleted meanwhile needs no protection.
          if (!(error instanceof ApiError) || error.code !== 'not_found') throw error
        })
    }
  }

  return {
    protectionOf,

    /** Throws `not_found`. */
    async find (id: string): Promise<Lecture> {
      const lecture = await findLecture(db, id.toLowerCase())
      if (lecture === undefined) throw new ApiError('not_found')
      return lecture
    },

    withMedia,

    /** All lectures of a course, in their order. */
    list: async (courseId: string): Promise<LectureWithMedia[]> => await withMedia(await listLectures(db, courseId)),

    /**
     * Makes a lecture of a draft, at the end of the course that `courseFor` finds or throws for; its sums follow in the
     * same transaction. Throws what publishing a media throws, or `not_found`; the draft is gone then.
     */
    async add (draft: Draft, text: LectureText, { uploaderId, courseFor }: LectureOrigin): Promise<LectureWithMedia> {
      const course = await courseFor().catch(async (error: unknown) => {
        await draft.discard()
        throw error
      })
      const lecture = {
        id: uuidv7(),
        courseId: course.id,
        mediaId: '',
        ...trimmed(text),
        position: 0,
        createdAt: clock.now(),
        updatedAt: clock.now()
      }
      const description = {
        title: lecture.title,
        ownerId: course.ownerId,
        uploaderId,
        protection: protectionOf(course)
      }
      const media = await intake.publish(draft, description, async (trx, media) => {
        lecture.mediaId = media.id
        if (!(await updateCourseSums(trx, course.id, 1, media.durationMs ?? 0))) throw new ApiError('not_found')
        // The course is locked now: one that became premium during the upload takes no lecture that is not protected.
        const locked = await findCourse(trx, course.id)
        if (locked !== undefined && protectionOf(locked) === 'encrypted' && media.protection === 'none') {
          await protections.changeWithin(trx, media, 'encrypted')
        }
        lecture.position = await insertLecture(trx, lecture)
      })
      return { lecture, media }
    },

    async change (id: string, text: Partial<LectureText>): Promise<LectureWithMedia> {
      const lecture = await updateLecture(db, id, trimmed(text), clock.now())
      const [changed] = lecture === undefined ? [] : await withMedia([lecture])
      if (changed === undefined) throw new ApiError('not_found')
      return changed
    },

    /**
     * Turns the protection of any media on or off, as its owner asks. Throws `protection_required` for a lecture whose
     * course wants it: the course is locked meanwhile, so that one becoming premium is not missed.
     */
    async changeProtection (media: Media, protection: Protection): Promise<void> {
      await protections.change(media, async (trx) => {
        const courseId = protection === 'none' ? await findCourseIdOfMedia(trx, media.id) : undefined
        const course = courseId === undefined ? undefined : await lockCourse(trx, courseId)
        if (course !== undefined && protectionOf(course) === 'encrypted') throw new ApiError('protection_required')
        return protection
      })
    },

    /** Makes the lectures of a course as protected as it is. */
    followProtection: async (courseId: string): Promise<void> => await follow(await listLectures(db, courseId)),

    /**
     * Protects the lectures that are not, though their courses want it: they were there before PROTECT_LECTURES, or
     * their server died while a course became premium. Answers how many it were.
     */
    async protectMissed (): Promise<number> {
      let missed = 0
      for (let after: string | undefined = FIRST_ID; after !== undefined;) {
        const { lectures, lastId } = await listUnprotected(db, protectAll, after, LOOK_BATCH)
        await follow(lectures)
        missed += lectures.length
        after = lastId
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
      }
      return missed
    },

    /**
     * Deletes a lecture with its media: nobody sees them any more, and rows and files follow. The course's sums and the
     * positions after it change in the same transaction. **Throws** `not_found`.
     */
    async remove ({ id, courseId }: Lecture): Promise<void> {
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
    },

    /** Puts the lectures of a course in an order that names each of them once; else 422 on `lecture_ids`. */
    async reorder (courseId: string, lectureIds: string[]): Promise<void> {
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
  }
}

function trimmed<T extends Partial<LectureText>> (text: T): T {
  return Object.fromEntries(Object.entries(text).map(([name, value]) => [name, value.trim()])) as T
}
