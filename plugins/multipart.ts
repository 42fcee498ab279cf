import multipart from '@fastify/multipart'
import type { Static, TObject } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Readable } from 'node:stream'
import { ApiError, invalidField } from '../src/errors.js'
import type { Draft } from '../src/storage/blob-store.js'

export interface FormOptions<T extends TObject> {
  /** What the text fields must be; they may come before or after the files. */
  fields: T
  /** Names under which files are taken. */
  fileFields: string[]
  maxFiles: number
  /** Takes a file's bytes as they come. */
  receive (source: Readable, fileName: string): Promise<Draft>
}

/** The files in the order they came; whoever gets a form publishes or discards each of its drafts. */
export interface Form<T extends TObject> { fields: Static<T>, files: Array<{ draft: Draft, fileName: string }> }

const KiB = 1024
const MAX_FIELD_BYTES = 64 * KiB
const MAX_FIELDS = 20

/** Reads multipart forms as they stream in: files to drafts, fields checked by a schema, all of it arrived, or nothing kept. */
export default fp(async (app) => {
  await app.register(multipart, { throwFileSizeLimit: false })
  app.decorateRequest('receiveForm', receiveForm)
}, { name: 'multipart', dependencies: ['errors', 'validation'] })

async function receiveForm<T extends TObject> (this: FastifyRequest, { fields: schema, fileFields, maxFiles, receive }: FormOptions<T>): Promise<Form<T>> {
  if (!this.isMultipart()) throw new ApiError('unsupported_content_type')
  const files: Form<T>['files'] = []
  const fields: Record<string, unknown> = {}
  const isClosed = watchClosingBoundary(this)
  try {
    const limits = { fileSize: Infinity, files: maxFiles, fields: MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, parts: MAX_FIELDS + maxFiles }
    for await (const part of this.parts({ limits })) {
      const known = part.type === 'file' ? fileFields : Object.keys(schema.properties)
      if (!known.includes(part.fieldname)) throw invalidField(part.fieldname, part.type === 'file' ? `is not a file field: expected ${fileFields.join(' or ')}` : 'is not a known field')
      if (part.type === 'file') {
        files.push({ draft: await receive(part.file, part.filename), fileName: part.filename })
        continue
      }
      if (part.valueTruncated) throw invalidField(part.fieldname, `must not be longer than ${MAX_FIELD_BYTES} bytes`)
      if (part.fieldname in fields) throw invalidField(part.fieldname, 'is given twice')
      fields[part.fieldname] = part.value
    }
    if (this.raw.complete === false) throw new ApiError('upload_incomplete')
    if (!isClosed()) throw new ApiError('malformed_multipart')
    checkFields(this, schema, fields)
    return { fields: fields as Static<T>, files }
  } catch (error) {
    await Promise.all(files.map(({ draft }) => draft.discard()))
    this.raw.unpipe()
    this.raw.resume()
    throw formError(this, error, fileFields, maxFiles)
  }
}

/** The parser takes a body without its closing boundary for complete, so the end of the body is looked at here. */
function watchClosingBoundary ({ raw, headers }: FastifyRequest): () => boolean {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(headers['content-type'] ?? '')
  let last: Buffer = Buffer.alloc(0)
  let beforeLast = last
  raw.on('data', (chunk: Buffer) => { [beforeLast, last] = [last, chunk] })
  return () => boundary !== null && Buffer.concat([beforeLast, last]).includes(`--${boundary[1] ?? boundary[2]}--`)
}

function checkFields (request: FastifyRequest, schema: TObject, fields: object): void {
  const validate = request.getValidationFunction(schema) ?? request.compileValidationSchema(schema, 'body')
  if (!validate(fields)) throw Object.assign(new Error('the form is not valid'), { validation: validate.errors, validationContext: 'body' })
}

function formError ({ raw }: FastifyRequest, error: unknown, fileFields: string[], maxFiles: number): unknown {
  const { code = '', message = '', validation } = error as { code?: string, message?: string, validation?: unknown }
  if (error instanceof ApiError || validation !== undefined) return error
  if (code === 'FST_FILES_LIMIT') return invalidField(fileFields[0]!, `at most ${maxFiles} may be sent`)
  if (code === 'FST_FIELDS_LIMIT' || code === 'FST_PARTS_LIMIT') return new ApiError('payload_too_large', { cause: error })
  if (code === 'FST_MP_PREMATURE_CLOSE' || (raw.destroyed && !raw.complete)) return new ApiError('upload_incomplete', { cause: error })
  if (code.startsWith('FST_') || /multipart|boundary|part terminated|header/i.test(message)) return new ApiError('malformed_multipart', { cause: error })
  return error
}

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * The form this request carries, when all of it has arrived. Throws `unsupported_content_type`, `malformed_multipart`,
     * `upload_incomplete`, `payload_too_large`, `validation_failed`, or what `receive` throws; no draft is left then.
     */
    receiveForm<T extends TObject> (options: FormOptions<T>): Promise<Form<T>>
  }
}
