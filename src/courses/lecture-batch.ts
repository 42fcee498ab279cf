import type { Static, TSchema } from '@sinclair/typebox'
import type { Readable } from 'node:stream'
import type { Viewer } from '../accounts/schema.js'
import { ApiError, invalidField } from '../errors.js'
import type { Intake } from '../media/uploads.js'
import type { Draft } from '../storage/blob-store.js'
import type { Courses } from './courses.js'
import type { Lectures, LectureWithMedia } from './lectures.js'
import { LectureFields, type BatchFields } from './schema.js'

/** A file of a batch: received, or refused by itself. */
export type BatchFile = { draft: Draft } | { refused: ApiError }

/** What came of one entry of a batch. */
export interface BatchOutcome {
  added?: LectureWithMedia
  error?: ApiError
}

/** Throws a 422 that names the fields of a value that does not fit a schema. */
export type CheckInput = (schema: TSchema, value: unknown) => void

export type LectureBatch = ReturnType<typeof createLectureBatch>

/** Several lectures in one request, each on its own fate. */
export function createLectureBatch ({
  courses,
  intake,
  lectures
}: {
  courses: Courses
  intake: Intake
  lectures: Lectures
}) {
  async function addOne (viewer: Viewer, file: BatchFile, entry: unknown, check: CheckInput): Promise<BatchOutcome> {
    try {
      if ('refused' in file) throw file.refused
      check(LectureFields, entry)
      const { course_id: courseId, ...text } = entry as Static<typeof LectureFields>
      return {
        added: await lectures.add(file.draft, text, {
          uploaderId: viewer.id,
          courseFor: () => courses.changeable(viewer, courseId)
        })
      }
    } catch (error) {
      // What is not the entry's own fault, a lost database say, ends the request.
      if (!(error instanceof ApiError)) throw error
      return { error }
    }
  }

  return {
    /** Takes a file; one that is too large is refused by itself, and read to its end, so that the next can follow. */
    async receive (source: Readable, ownerId: string | undefined): Promise<BatchFile> {
      try {
        return { draft: await intake.receive(source, ownerId) }
      } catch (error) {
        if (!(error instanceof ApiError) || error.statusCode !== 413) throw error
        source.resume()
        return { refused: error }
      }
    },

    /**
     * Adds one lecture for each file, in order. Throws 422 when files and `lectures_data` do not fit each other; no
     * file is left over.
     */
    async add (
      viewer: Viewer,
      files: BatchFile[],
      fields: Static<typeof BatchFields>,
      check: CheckInput
    ): Promise<BatchOutcome[]> {
      try {
        const entries = entriesOf(fields, files.length)
        const outcomes: BatchOutcome[] = []
        for (const [index, file] of files.entries()) outcomes.push(await addOne(viewer, file, entries[index], check))
        // If all failed because of the server, the client should try again, not fix its lectures.
        const ours = outcomes.map(({ error }) => error).find((error) => error !== undefined && error.statusCode >= 500)
        if (ours instanceof ApiError && outcomes.every(({ error }) => error !== undefined)) throw ours
        return outcomes
      } finally {
        await Promise.all(files.map(discardBatchFile))
      }
    }
  }
}

/** Removes what is left of a file; one that became a media stays. */
export async function discardBatchFile (file: BatchFile): Promise<void> {
  if ('draft' in file) await file.draft.discard()
}

function entriesOf (
  { lectures_data: text, course_id: courseId }: Static<typeof BatchFields>,
  files: number
): unknown[] {
  let entries: unknown
  try {
    entries = JSON.parse(text)
  } catch {
    throw invalidField('lectures_data', 'is not valid JSON')
  }
  if (!Array.isArray(entries)) throw invalidField('lectures_data', 'must be a JSON array')
  if (entries.length !== files) throw invalidField('lectures_data', `has ${entries.length} entries for ${files} files`)
  return entries.map((entry: unknown) =>
    typeof entry === 'object' && entry !== null && courseId !== undefined && !('course_id' in entry)
      ? { ...entry, course_id: courseId }
      : entry
  )
}
