import { sql, type RawBuilder } from 'kysely'
import { fold } from './fold.js'

/** Rows that one step of a search reads: 1 ms of SQLite's event loop, or a short use of a Postgres connection. */
const STEP = 1000
/** The maximum number of matches. Pages after these are refused. */
export const MAX_MATCHES = 10_000

/** Returns the condition that a folded text contains `part`, in any case and normal form. */
export function contains (folded: RawBuilder<string>, part: string): RawBuilder<boolean> {
  const pattern = `%${fold(part).replaceAll(/[\\%_]/g, '\\$&')}%`
  return sql<boolean>`${folded} like ${pattern} escape '\\'`
}

/** A position in a list that is ordered by age, newest first. */
export interface Place {
  createdAt: number
  id: string
}

/** Returns the position of a row. */
export function placeOf (row: { id: string; created_at: number } | undefined): Place | undefined {
  return row && { createdAt: row.created_at, id: row.id }
}

/** A section of such a list: the rows after `after` (or from the start), up to and including `last` (or to the end). */
export interface Section {
  after?: Place | undefined
  last?: Place | undefined
}

/** Returns the condition that a row of `accounts` or `media` is in a section. */
export function isWithin ({ after, last }: Section): RawBuilder<boolean> {
  const conditions = [
    ...(after === undefined ? [] : [sql`(created_at, id) < (${after.createdAt}, ${after.id})`]),
    ...(last === undefined ? [] : [sql`(created_at, id) >= (${last.createdAt}, ${last.id})`])
  ]
  return conditions.length === 0 ? sql`1 = 1` : sql`${sql.join(conditions, sql` and `)}`
}

/** The two queries of a search. They are separate, so that only matching rows become objects. */
export interface SearchSteps {
  /** Returns the position that is `rows` rows after `after`. Undefined if there are fewer rows. */
  findEnd(after: Place | undefined, rows: number): Promise<Place | undefined>
  /** Returns the ids of the matches in a section, newest first. */
  findMatches(section: Section): Promise<string[]>
}

let lastStep: Promise<unknown> = Promise.resolve()

/** Runs a step. Only one search step of this process runs in a turn of the event loop. */
function inTurn<T> (step: () => Promise<T>): Promise<T> {
  const next = lastStep
    .then(
      () =>
        new Promise((resolve) => {
          setImmediate(resolve)
        })
    )
    .then(step)
  lastStep = next.catch(() => {})
  return next
}

/**
 * Returns the ids of all matches, newest first, at most {@link MAX_MATCHES}. It reads the list in steps, so that a
 * search of a long list blocks neither the event loop nor a connection.
 */
export async function search ({ findEnd, findMatches }: SearchSteps): Promise<string[]> {
  const found: string[] = []
  let after: Place | undefined
  do {
    const last = await inTurn(() => findEnd(after, STEP))
    found.push(...(await inTurn(() => findMatches({ after, last }))))
    after = last
  } while (after !== undefined && found.length < MAX_MATCHES)
  return found.slice(0, MAX_MATCHES)
}
