import type { Static, TSchema } from '@sinclair/typebox'
import type { Readable } from 'node:stream'
import type { Viewer } from '../accounts/schema.js'
import { ApiError, invalidField } from '../errors.js'
import type { Intake } from '../media/uploads.js'
import type { Draft } from '../storage/blob-store.js'
import type { Courses } from './courses.js'
import type { Lectures, LectureWithMedia } from './lectures.js'
import { LectureFields, type BatchFields } from './schema.js'

/** A file of a batch: received or refused. */
export type BatchFile = { draft: Draft } | { refused: ApiError }

/** The result of one entry of a batch. */
export interface BatchOutcome {
  added?: LectureWithMedia
  error?: ApiError
}

/** Checks a value by a schema. **Throws** a 422 that names the invalid fields. */
export type CheckInput = (schema: TSchema, value: unknown) => void

interface LectureBatchOptions {
  courses: Courses
  intake: Intake
  lectures: Lectures
}

/** Adds several lectures in one request. Each succeeds or fails on its own. */
export class LectureBatch {
  readonly #options: LectureBatchOptions

  constructor (options: LectureBatchOptions) {
    this.#options = options
  }

  /** Receives a file. A file that is too large is refused and skipped, so that the next file can follow. */
  async receive (source: Readable, ownerId: string | undefined): Promise<BatchFile> {
    try {
      return { draft: await this.#options.intake.receive(source, ownerId) }
    } catch (error) {
      if (!(error instanceof ApiError) || error.statusCode !== 413) throw error
      source.resume()
      return { refused: error }
    }
  }

  /**
   * Adds one lecture for each file, in order, and discards the files that become none. **Throws** 422 if the number of
   * entries in `lectures_data` is not that of the files.
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
      for (const [index, file] of files.entries()) {
        outcomes.push(await this.#addOne(viewer, file, entries[index], check))
      }
      throwIfServerFailed(outcomes)
      return outcomes
    } finally {
      await Promise.all(files.map(discardBatchFile))
    }
  }

  async #addOne (viewer: Viewer, file: BatchFile, entry: unknown, check: CheckInput): Promise<BatchOutcome> {
    const { courses, lectures } = this.#options
    try {
      if ('refused' in file) throw file.refused
      check(LectureFields, entry)
      const { course_id: courseId, ...text } = entry as Static<typeof LectureFields>
      const courseFor = () => courses.changeable(viewer, courseId)
      return { added: await lectures.add(file.draft, text, { uploaderId: viewer.id, courseFor }) }
    } catch (error) {
      // Other errors, as of a lost database, end the whole request.
      if (!(error instanceof ApiError)) throw error
      return { error }
    }
  }
}

/** If every entry failed, and one because of the server, the client should try again instead of fixing its lectures. */
function throwIfServerFailed (outcomes: BatchOutcome[]): void {
  const errors = outcomes.flatMap(({ error }) => (error === undefined ? [] : [error]))
  const serverError = errors.find(({ statusCode }) => statusCode >= 500)
  if (serverError !== undefined && errors.length === outcomes.length) throw serverError
}

/** Discards a draft. A file that became a media stays. */
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
