import { KiB } from '../bytes.js'
import { ApiError, invalidField } from '../errors.js'
import { mediaTypes } from '../media/schema.js'
import { checksumAlgorithms, type Checksum } from './part.js'

// The headers of tus 1.0 (https://tus.io/protocols/resumable-upload), which clients send as any text.

export const TUS_VERSION = '1.0.0'
export const TUS_EXTENSIONS = 'creation,creation-with-upload,expiration,termination,checksum'
export const PART_TYPE = 'application/offset+octet-stream'

/** The response headers that scripts of other origins may read. */
export const TUS_HEADERS = [
  'tus-resumable',
  'tus-version',
  'tus-extension',
  'tus-max-size',
  'tus-checksum-algorithm',
  'upload-offset',
  'upload-length',
  'upload-metadata',
  'upload-expires',
  'upload-error',
  'media-location'
]

const MAX_METADATA_BYTES = 8 * KiB
const KEY = /^[\x21-\x2b\x2d-\x7e]+$/
const BASE64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}(?:==)?|[A-Za-z\d+/]{3}=?)?$/
const DIGEST_BYTES = { sha256: 32, sha1: 20 } as const
const mediaKeys = ['title', 'type', 'visibility', 'protection', 'filename', 'sha256'] as const
const lectureKeys = ['title', 'description', 'category', 'subcategory', 'course_id', 'filename', 'sha256'] as const

/** Parses a header with a number of bytes, such as Upload-Offset. **Throws** `bad_request`. */
export function parseByteCount (name: string, value: string | undefined): number {
  if (value === undefined) throw badHeader(name, 'is required')
  const count = /^\d{1,16}$/.test(value) ? Number(value) : NaN
  if (!Number.isSafeInteger(count)) throw badHeader(name, 'must be a number of bytes')
  return count
}

/** Parses Upload-Checksum: an algorithm, a space and a digest in base64. **Throws** `bad_request`. */
export function parseChecksum (value: string | undefined): Checksum | undefined {
  if (value === undefined) return undefined
  const [name, digest = '', ...rest] = value.split(' ')
  const algorithm = checksumAlgorithms.find((known) => known === name)
  if (algorithm === undefined) {
    throw badHeader('Upload-Checksum', `must name one of ${checksumAlgorithms.join(', ')}`)
  }
  const bytes = BASE64.test(digest) ? Buffer.from(digest, 'base64') : Buffer.alloc(0)
  if (rest.length > 0 || bytes.length !== DIGEST_BYTES[algorithm]) {
    throw badHeader('Upload-Checksum', 'must be an algorithm, a space, and a digest in base64')
  }
  return { algorithm, digest: bytes }
}

/**
 * Parses Upload-Metadata: pairs of a key and a text in base64, separated by commas. A key without a text has the text
 * ''. **Throws** `bad_request`, also for a repeated key.
 */
export function parseMetadata (header: string | undefined): Map<string, string> {
  const metadata = new Map<string, string>()
  if (header === undefined || header.trim() === '') return metadata
  if (header.length > MAX_METADATA_BYTES) {
    throw badHeader('Upload-Metadata', `has more than ${MAX_METADATA_BYTES} bytes`)
  }
  for (const pair of header.split(',')) {
    const [key = '', encoded = '', ...rest] = pair.trim().split(' ')
    if (!KEY.test(key) || !BASE64.test(encoded) || rest.length > 0) {
      throw badHeader('Upload-Metadata', 'must be pairs of a key, a space, and a text in base64, separated by commas')
    }
    if (metadata.has(key)) throw badHeader('Upload-Metadata', `has the key ${key} twice`)
    metadata.set(key, decode(key, encoded))
  }
  return metadata
}

/**
 * Returns the metadata that this server knows. Clients add other keys, which are ignored. Uppy names the file `name`,
 * and puts its content type into `type`. Without `title`, the title is the name of the file.
 */
export function knownMetadata (metadata: Map<string, string>): { kind: 'media' | 'lecture'; fields: object } {
  const isLecture = metadata.has('course_id')
  const filename = metadata.get('filename') || metadata.get('name')
  const type = metadata.get('type')
  const values = new Map(metadata)
  if (filename === undefined || filename === '') values.delete('filename')
  else values.set('filename', filename)
  if (!values.has('title') && filename !== undefined) values.set('title', filename)
  const named = mediaTypes.find((known) => type === known || type?.startsWith(`${known}/`))
  if (named !== undefined) values.set('type', named)
  else if (type === '' || type?.includes('/') === true) values.delete('type')
  const keys: readonly string[] = isLecture ? lectureKeys : mediaKeys
  const fields = Object.fromEntries([...values].filter(([key]) => keys.includes(key)))
  return { kind: isLecture ? 'lecture' : 'media', fields }
}

function decode (key: string, encoded: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(encoded, 'base64'))
  } catch {
    throw invalidField(key, 'is not UTF-8')
  }
}

function badHeader (name: string, fault: string): ApiError {
  return new ApiError('bad_request', { detail: `${name} ${fault}.` })
}
