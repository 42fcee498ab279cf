import { sql, type RawBuilder } from 'kysely'
import { fold } from './fold.js'

/** Rows that one step of a search reads: 1 ms of SQLite's event loop, and a short use of a Postgres connection. */
const STEP = 1000
/** A search counts no further: the pages behind are refused anyway. */
export const MAX_MATCHES = 10_000

/** Whether a folded text has a part, in any case and normal form. */
export function contains (folded: RawBuilder<string>, part: string): RawBuilder<boolean> {
  const pattern = `%${fold(part).replaceAll(/[\\%_]/g, '\\$&')}%`
  return sql<boolean>`${folded} like ${pattern} escape '\\'`
}

/** A place in a list that is ordered by age, newest first. */
export interface Place {
  createdAt: number
  id: string
}

/** The place of a row that was read. */
export function placeOf (row: { id: string; created_at: number } | undefined): Place | undefined {
  return row && { createdAt: row.created_at, id: row.id }
}

/** Part of such a list: what follows `after`, up to and with `last`. Without either, from its start or to its end. */
export interface Section {
  after?: Place | undefined
  last?: Place | undefined
}

/** Whether a row of `accounts` or `media` is in a section. */
export function isWithin ({ after, last }: Section): RawBuilder<boolean> {
  const conditions = [
    ...(after === undefined ? [] : [sql`(created_at, id) < (${after.createdAt}, ${after.id})`]),
    ...(last === undefined ? [] : [sql`(created_at, id) >= (${last.createdAt}, ${last.id})`])
  ]
  return conditions.length === 0 ? sql`1 = 1` : sql`${sql.join(conditions, sql` and `)}`
}

/** The two queries of a search. Two, so that only the rows that match become objects. */
export interface SearchSteps {
  /** The place of the row that is `rows` behind `after`; undefined if there are fewer. */
  findEnd(after: Place | undefined, rows: number): Promise<Place | undefined>
  /** The ids of the matches in a section, newest first. */
  findMatches(section: Section): Promise<string[]>
}

let lastStep: Promise<unknown> = Promise.resolve()

/** Of all searches of this process, one step runs in a turn of the event loop. */
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
 * The ids of all matches, newest first, at most {@link MAX_MATCHES}. Looks through the list in steps, so that however
 * long the list is, a search holds neither the event loop nor a connection.
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
