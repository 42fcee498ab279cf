import { Courses } from '../courses/courses.js'
import { LectureBatch } from '../courses/lecture-batch.js'
import { Lectures } from '../courses/lectures.js'
import { ProgressReports } from '../courses/progress.js'
import { Subscriptions } from '../courses/subscriptions.js'
import { GrantedUploads } from '../grants/granted-upload.js'
import { UploadGrants } from '../grants/upload-grants.js'
import { ResumableUploads } from '../uploads/resumable-uploads.js'
import { UploadFinisher } from '../uploads/upload-finisher.js'
import { UploadHolds } from '../uploads/upload-holds.js'
import type { ViewLog } from '../views/view-log.js'
import type { Foundation } from './foundation.js'
import type { MediaServices } from './media.js'
import type { People } from './people.js'

export type Teaching = ReturnType<typeof createTeaching>

/** Courses, lectures, subscriptions and progress. */
export function createTeaching (base: Foundation & People & ViewLog & MediaServices) {
  const { config, db, clock, accounts, library, intake, protections, courseRunner, views } = base
  const subscriptions = new Subscriptions({ db, clock })
  const courses = new Courses({ db, accounts, library, clock })
  const lectures = new Lectures({
    db,
    intake,
    library,
    protections,
    protectAll: config.protectAllLectures,
    clock,
    onReordered: () => courseRunner.wake()
  })
  const batch = new LectureBatch({ courses, intake, lectures })
  const keys = base.secrets.keyring('upload-grant')
  const grants = new UploadGrants({ ...base, courses, keys, maxUploadBytes: config.maxUploadBytes })
  const grantedUploads = new GrantedUploads({ db, courses, lectures, intake, clock })
  const progress = new ProgressReports({ db, lectures, views, clock })
  return { subscriptions, courses, lectures, batch, grants, grantedUploads, progress }
}

/** Uploads in several requests. */
export function createUploads (base: Foundation & People & MediaServices & Teaching) {
  const { config, db, clock } = base
  const holds = new UploadHolds({ db, clock })
  const resumable = new ResumableUploads({
    ...base,
    holds,
    finisher: new UploadFinisher(base),
    maxUploadBytes: config.maxUploadBytes,
    expiresHours: config.uploadExpiresHours
  })
  return { holds, resumable }
}
