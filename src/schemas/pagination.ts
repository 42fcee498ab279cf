import { Type, type Static, type TProperties, type TSchema } from '@sinclair/typebox'
import { invalidField } from '../errors.js'
import { SingleLine } from './fields.js'

const pageFields = {
  page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1, description: 'No page starts after row 10,000.' }),
  size: Type.Integer({ minimum: 1, maximum: 100, default: 10 })
}

/** The query parameters of a list: `page`, which starts at 1, and `size`, the number of items on a page. */
export const PageQuery = Type.Object(pageFields)
export type PageQuery = Static<typeof PageQuery>

/** {@link PageQuery} and the filters of one list. */
export const FilteredPageQuery = <T extends TProperties>(filters: T) => Type.Object({ ...pageFields, ...filters })

/** The text to search for in a list. */
export const SearchText = (field: string) =>
  Type.Optional(SingleLine(200, { description: `Part of ${field}. \`total\` counts at most 10,000 matches.` }))

/** One page of a list, and the number of items on all its pages. */
export interface Page<T> {
  items: T[]
  total: number
  page: number
  size: number
  pages: number
}

/** The reply schema of a {@link Page}. */
export const PageOf = <T extends TSchema>(item: T) =>
  Type.Object({
    items: Type.Array(item),
    total: Type.Integer(),
    page: Type.Integer(),
    size: Type.Integer(),
    pages: Type.Integer()
  })

/** Maximum number of rows before a page, because a skipped row costs as much as a returned row. */
export const MAX_OFFSET = 10_000

/** Returns the number of rows before a page. **Throws** `validation_failed` beyond {@link MAX_OFFSET}. */
export function offsetOf ({ page, size }: PageQuery): number {
  const offset = (page - 1) * size
  if (offset > MAX_OFFSET) throw invalidField('page', `must not start after row ${MAX_OFFSET}: narrow the list instead`)
  return offset
}

/** Creates a page from the items of a store. */
export function pageOf<T> (items: T[], total: number, { page, size }: PageQuery): Page<T> {
  return { items, total, page, size, pages: Math.ceil(total / size) }
}

/** Converts each item of a page with `replyOf`. */
export function mapPage<T, R> (page: Page<T>, replyOf: (item: T) => R): Page<R> {
  return { ...page, items: page.items.map(replyOf) }
}
