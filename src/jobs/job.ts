/** What is to be deleted at Mux: the asset, or what the upload became. */
export interface MuxRemoval {
  uploadId: string | null
  assetId: string | null
}

/** What a job of each kind works on. */
interface Subjects {
  package: { mediaId: string }
  'mux-ingest': { mediaId: string }
  'mux-removal': { removal: MuxRemoval }
  'delete-media': { mediaId: string }
  'delete-course': { courseId: string }
  'tally-course': { courseId: string }
}

export type JobKind = keyof Subjects
export type MediaJobKind = 'package' | 'mux-ingest' | 'delete-media'
export type CourseJobKind = 'delete-course' | 'tally-course'

interface JobState {
  id: string
  /** Failures in a row, without progress in between. */
  failures: number
  /** How often it was claimed and neither ended nor given back, this time included: a process died that often. */
  attempts: number
  createdAt: number
}

/** A job of one of some kinds, discriminated by its kind. */
export type Job<Kind extends JobKind = JobKind> = Extract<
  { [K in JobKind]: JobState & Subjects[K] & { kind: K } }[JobKind],
  { kind: Kind }
>

/** The fields of a log line about a job. */
export function describeJob (job: Job | undefined): object {
  if (job === undefined) return {}
  const { kind, failures } = job
  const common = { job: kind, ...(failures > 0 && { failures }) }
  if ('removal' in job) return { ...common, asset_id: job.removal.assetId, upload_id: job.removal.uploadId }
  return { ...common, ...('mediaId' in job ? { media_id: job.mediaId } : { course_id: job.courseId }) }
}
