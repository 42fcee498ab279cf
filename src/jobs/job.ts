/** The asset to delete at Mux, or the upload that created the asset. */
export interface MuxRemoval {
  uploadId: string | null
  assetId: string | null
}

/** The subject of a job, by kind. */
interface Subjects {
  package: { mediaId: string }
  'mux-ingest': { mediaId: string }
  'mux-removal': { removal: MuxRemoval }
  'delete-media': { mediaId: string }
  'delete-course': { courseId: string }
  'tally-course': { courseId: string }
  'describe-files': unknown
  rendition: { mediaId: string }
}

export type JobKind = keyof Subjects
export type MediaJobKind = 'package' | 'mux-ingest' | 'delete-media'
export type CourseJobKind = 'delete-course' | 'tally-course'

interface JobState {
  id: string
  /** Consecutive failures without progress between them. */
  failures: number
  /**
   * Number of claims, including the current claim. A claim that returns the job to the queue is subtracted. So each
   * earlier claim ended with a dead process.
   */
  attempts: number
  createdAt: number
}

/** A job of one of several kinds, discriminated by `kind`. */
export type Job<Kind extends JobKind = JobKind> = Extract<
  { [K in JobKind]: JobState & Subjects[K] & { kind: K } }[JobKind],
  { kind: Kind }
>

/** Returns the log fields of a job. */
export function describeJob (job: Job | undefined): object {
  if (job === undefined) return {}
  const { kind, failures } = job
  const common = { job: kind, ...(failures > 0 && { failures }) }
  if ('removal' in job) return { ...common, asset_id: job.removal.assetId, upload_id: job.removal.uploadId }
  if ('mediaId' in job) return { ...common, media_id: job.mediaId }
  return 'courseId' in job ? { ...common, course_id: job.courseId } : common
}
