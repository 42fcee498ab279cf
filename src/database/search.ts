import { sql, type RawBuilder } from 'kysely'
import { fold } from './fold.js'

/**
 * Rows that one step of a search looks at: a few milliseconds of SQLite's event loop, and a short use of a Postgres
 * connection.
 */
const STEP = 2000
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

/**
 * One step of a search: `matches` among the `limit` rows after a place, and the last of those rows; undefined if there
 * are no more.
 */
export type SearchStep = (
  after: Place | undefined,
  limit: number
) => Promise<{ matches: string[]; last: Place | undefined }>

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
export async function search (step: SearchStep): Promise<string[]> {
  const found: string[] = []
  let after: Place | undefined
  do {
    const { matches, last } = await inTurn(() => step(after, STEP))
    found.push(...matches)
    after = last
  } while (after !== undefined && found.length < MAX_MATCHES)
  return found.slice(0, MAX_MATCHES)
}
