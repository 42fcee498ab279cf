import type { Static, TSchema } from '@sinclair/typebox'
import type { Readable } from 'node:stream'
import type { Viewer } from '../accounts/schema.js'
import type { Attach } from '../database/attach.js'
import { ApiError, invalidField } from '../errors.js'
import type { Intake } from '../media/uploads.js'
import type { FileSink } from '../schemas/form.js'
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
  /** An interrupted earlier request added the lecture. */
  wasAdded?: true
}

/** A batch of a viewer, as it was received. */
export interface ReceivedBatch {
  viewer: Viewer
  files: BatchFile[]
  fields: Static<typeof BatchFields>
}

interface BatchOptions {
  /** Validates a value against a schema. **Throws** `validation_failed`, which names the invalid fields. */
  check(schema: TSchema, value: unknown): void
  /** Returns whether an interrupted earlier request added the lecture of an entry. */
  wasAdded(index: number): boolean
  /** Adds rows in the transaction that adds the lecture of an entry. */
  attach(index: number): Attach<LectureWithMedia>
}

interface LectureBatchOptions {
  courses: Courses
  intake: Intake
  lectures: Lectures
}

/** Adds several lectures in one request. Each entry succeeds or fails independently. */
export class LectureBatch {
  readonly #options: LectureBatchOptions

  constructor (options: LectureBatchOptions) {
    this.#options = options
  }

  /** Returns a sink for the files of a batch. */
  sinkFor (ownerId: string | undefined): FileSink<BatchFile> {
    return {
      receive: (source) => this.#receive(source, ownerId),
      discard: discardBatchFile,
      digestOf: (file) => ('draft' in file ? file.draft.sha256 : undefined)
    }
  }

  /**
   * Receives a file. If the file is too large, returns the error and skips the rest of the file, so that the next file
   * can be read.
   */
  async #receive (source: Readable, ownerId: string | undefined): Promise<BatchFile> {
    try {
      return { draft: await this.#options.intake.receive(source, ownerId) }
    } catch (error) {
      if (!(error instanceof ApiError) || error.statusCode !== 413) throw error
      source.resume()
      return { refused: error }
    }
  }

  /**
   * Adds one lecture for each file, in order, and discards the files of failed entries. **Throws** `validation_failed`
   * unless `lectures_data` is a JSON array with one entry for each file.
   */
  async add ({ viewer, files, fields }: ReceivedBatch, options: BatchOptions): Promise<BatchOutcome[]> {
    try {
      const entries = entriesOf(fields, files.length)
      const outcomes: BatchOutcome[] = []
      for (const [index, file] of files.entries()) {
        const { check, wasAdded, attach } = options
        const add = () => this.#addOne(viewer, file, { entry: entries[index], check, attach: attach(index) })
        outcomes.push(wasAdded(index) ? { wasAdded: true } : await add())
      }
      throwIfServerFailed(outcomes)
      return outcomes
    } finally {
      await Promise.all(files.map(discardBatchFile))
    }
  }

  async #addOne (
    viewer: Viewer,
    file: BatchFile,
    { entry, check, attach }: Pick<BatchOptions, 'check'> & { entry: unknown; attach: Attach<LectureWithMedia> }
  ): Promise<BatchOutcome> {
    const { courses, lectures } = this.#options
    try {
      if ('refused' in file) throw file.refused
      check(LectureFields, entry)
      const { course_id: courseId, ...text } = entry as Static<typeof LectureFields>
      const courseFor = () => courses.changeable(viewer, courseId)
      return { added: await lectures.add(file.draft, text, { uploaderId: viewer.id, courseFor, attach }) }
    } catch (error) {
      // Other errors, such as a lost database connection, fail the whole request. So does a lost Idempotency-Key.
      if (!(error instanceof ApiError) || error.code === 'idempotency_key_in_use') throw error
      return { error }
    }
  }
}

/**
 * Throws a server error if every entry failed and at least one failed with a server error. The client should then
 * retry.
 */
function throwIfServerFailed (outcomes: BatchOutcome[]): void {
  const errors = outcomes.flatMap(({ error }) => (error === undefined ? [] : [error]))
  const serverError = errors.find(({ statusCode }) => statusCode >= 500)
  if (serverError !== undefined && errors.length === outcomes.length) throw serverError
}

/** Discards the draft of a file. A published file stays. */
async function discardBatchFile (file: BatchFile): Promise<void> {
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
