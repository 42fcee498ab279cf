import type { Generated } from 'kysely'

// Times, durations, days and flags are integers, as tables.ts says.

export interface CoursesTable {
  id: string
  owner_id: string
  title: string
  description: string
  premium: number
  /** The sum of its lectures, changed in the same transaction as the lectures. */
  duration_ms: number
  lectures_count: number
  created_at: number
  updated_at: number
  /** As in {@link MediaTable}. */
  deleted_at: Generated<number | null>
}

export interface LecturesTable {
  id: string
  course_id: string
  media_id: string
  title: string
  description: string
  category: string
  subcategory: string
  /** 1 for the first lecture, without gaps. */
  position: number
  created_at: number
  updated_at: number
  /** As in {@link MediaTable}. */
  deleted_at: Generated<number | null>
}

export interface SubscriptionsTable {
  id: string
  student_id: string
  course_id: string
  created_at: number
  /** Sorts the list of a student's courses. */
  course_created_at: number
}

export interface LectureProgressTable {
  lecture_id: string
  student_id: string
  position_ms: number
  watched_ms: number
  updated_at: number
  /** Each flag is 1 if its tally counts this row. It changes in the same transaction as the tally. */
  started: Generated<number>
  completed: Generated<number>
  stopped: Generated<number>
}

/** The sums of the flags of a lecture's progress rows. The row is missing until a student starts the lecture. */
export interface LectureTalliesTable {
  lecture_id: string
  started: number
  completed: number
  stopped: number
}
