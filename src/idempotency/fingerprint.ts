import { createHash } from 'node:crypto'

/** The content of a request, by which a repeated request is recognized. */
export interface RequestContent {
  /** The method and URL. */
  operation: string
  /** The JSON body, or the text fields of a form. */
  fields: unknown
  /** SHA-256 of each file in hex; undefined for a refused file, which was not read whole. */
  files: Array<string | undefined>
}

/** Stands for a refused file. */
const UNREAD = '-'

/** Returns the fingerprint of a request: a hash of its text, and the hash of each file. */
export function fingerprintOf ({ operation, fields, files }: RequestContent): string {
  const text = createHash('sha256')
    .update(`${operation}\n${canonicalJson(fields)}`)
    .digest('hex')
  return [text, ...files.map((file) => file ?? UNREAD)].join(' ')
}

/** Returns whether two fingerprints belong to the same request. A refused file is equal to any file. */
export function isSameRequest (one: string, other: string): boolean {
  const [parts, others] = [one.split(' '), other.split(' ')]
  const isEqual = (part: string, index: number) =>
    part === others[index] || part === UNREAD || others[index] === UNREAD
  return parts.length === others.length && parts.every(isEqual)
}

/** Returns JSON with sorted keys, so that the order of fields does not matter. */
function canonicalJson (value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(',')}}`
}
