import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { invalidField } from '../errors.js'

/** Query parameters of a list: 1-based `page`, `size` items a page. */
export const PageQuery = Type.Object({
  page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1, description: 'No page starts after row 10,000.' }),
  size: Type.Integer({ minimum: 1, maximum: 100, default: 10 })
})
export type PageQuery = Static<typeof PageQuery>

/** One page of a list, and how much there is in all. */
export interface Page<T> {
  items: T[]
  total: number
  page: number
  size: number
  pages: number
}

export const PageOf = <T extends TSchema>(item: T) =>
  Type.Object({
    items: Type.Array(item),
    total: Type.Integer(),
    page: Type.Integer(),
    size: Type.Integer(),
    pages: Type.Integer()
  })

/** How many rows of a list can be skipped: what is skipped costs as much as what is read. */
export const MAX_OFFSET = 10_000

/** How many rows stand before a page. **Throws** `validation_failed` beyond {@link MAX_OFFSET}. */
export function offsetOf ({ page, size }: PageQuery): number {
  const offset = (page - 1) * size
  if (offset > MAX_OFFSET) throw invalidField('page', `must not start after row ${MAX_OFFSET}: narrow the list instead`)
  return offset
}

/** Wraps what a store listed. */
export function pageOf<T> (items: T[], total: number, { page, size }: PageQuery): Page<T> {
  return { items, total, page, size, pages: Math.ceil(total / size) }
}
