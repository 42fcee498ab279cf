import multipart from '@fastify/multipart'
import type { Static, TObject } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Readable } from 'node:stream'
import { KiB, MiB } from '../src/bytes.js'
import type { Config } from '../src/config/config.js'
import { ApiError, invalidField } from '../src/errors.js'
import { uploadTooLarge } from '../src/media/uploads.js'
import type { FileSink, FormDefinition, FormSchemas } from '../src/schemas/form.js'
import { RECEIVE_PROBLEMS, addProblems } from '../src/schemas/problem.js'

interface ReceivedFile<F> {
  received: F
  fileName: string
}

/** A complete form, with its files in order of arrival. The caller must use or discard each file. */
export interface Form<T extends TObject, F> {
  fields: Static<T>
  files: [ReceivedFile<F>, ...Array<ReceivedFile<F>>]
}

const MAX_FIELD_BYTES = 64 * KiB
const MAX_FIELDS = 20
/** Larger than one read from a socket. If a skipped part does not fit into this buffer, the parser never ends. */
const PART_BUFFER_BYTES = 256 * KiB
/** Maximum size of a form without its files: fields, boundaries and part headers. */
const OVERHEAD_BYTES = 4 * MiB
/** The closing boundary is searched in this many last bytes of a body, because an epilogue may follow it. */
const TAIL_BYTES = 4 * KiB

interface Options {
  /** `maxUploadBytes` limits each file. The limit of a form is this size for each file that it may contain. */
  config: Pick<Config, 'maxUploadBytes'>
}

/**
 * Receives multipart forms while they arrive. Files go to drafts, and a schema validates the fields. If a form is
 * refused or does not arrive whole, its files are discarded.
 */
export default fp<Options>(
  async (app, { config: { maxUploadBytes } }) => {
    // Parts with a content type must arrive as streams: the plugin would parse a part of type JSON, and fail if it is
    // not JSON. The field name decides whether a part is a file.
    const isPartAFile = (_name: string, type: string, fileName: string | undefined) =>
      fileName !== undefined || type !== 'text/plain'
    await app.register(multipart, { throwFileSizeLimit: false, fileHwm: PART_BUFFER_BYTES, isPartAFile } as object)
    app.decorateRequest('receiveForm', async function <
      T extends TObject,
      F
    >(this: FastifyRequest, form: FormDefinition<T>, sink: FileSink<F>) {
      return await this.receiveUpload(async () => {
        boundBody(this, form.maxFiles * maxUploadBytes + OVERHEAD_BYTES, maxUploadBytes)
        return await receiveForm(this, form, sink)
      })
    })
    app.addHook('onRoute', (route) => {
      if (route.config?.form === undefined) return
      route.schema = addProblems(
        route.schema,
        'malformed_multipart',
        'unsupported_content_type',
        'validation_failed',
        ...RECEIVE_PROBLEMS
      )
    })
  },
  { name: 'multipart', dependencies: ['errors', 'validation', 'uploads'] }
)

/**
 * Refuses a body that is too large: by its Content-Length before it is read, else during the read. In a form of several
 * files, the parser reads the rest of a refused file, so a bound is needed.
 */
function boundBody ({ raw, headers }: FastifyRequest, maxBytes: number, maxUploadBytes: number): void {
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw uploadTooLarge(maxUploadBytes)
  let bytes = 0
  if (headers['content-length'] === undefined) {
    raw.on('data', (chunk: Buffer) => {
      if ((bytes += chunk.length) > maxBytes) raw.destroy(uploadTooLarge(maxUploadBytes))
    })
  }
}

async function receiveForm<T extends TObject, F> (
  request: FastifyRequest,
  form: FormDefinition<T>,
  { receive, discard }: FileSink<F>
): Promise<Form<T, F>> {
  const { fields: schema, fileFields, maxFiles } = form
  if (!request.isMultipart()) throw new ApiError('unsupported_content_type')
  const files: Array<ReceivedFile<F>> = []
  const fields: Record<string, unknown> = {}
  const isClosed = watchClosingBoundary(request)
  try {
    const parts = MAX_FIELDS + maxFiles
    const limits = { fileSize: Infinity, files: parts, fields: MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, parts }
    for await (const part of request.parts({ limits })) {
      if (part.fieldname === undefined) throw new ApiError('malformed_multipart')
      if (part.type === 'file' && !Object.hasOwn(schema.properties, part.fieldname)) {
        if (!fileFields.includes(part.fieldname)) {
          throw invalidField(part.fieldname, `is not a file field: expected ${fileFields.join(' or ')}`)
        }
        if (files.length === maxFiles) throw invalidField(fileFields[0], `at most ${maxFiles} may be sent`)
        // A part can be a file by its content type. Its `filename` can then be undefined, unlike the declared type.
        files.push({ received: await receive(part.file), fileName: (part.filename as string | undefined) ?? '' })
        continue
      }
      if (fileFields.includes(part.fieldname)) {
        throw invalidField(part.fieldname, 'must be a file, with a file name (curl: -F name=@path)')
      }
      if (!Object.hasOwn(schema.properties, part.fieldname)) throw invalidField(part.fieldname, 'is not a known field')
      const value = part.type === 'file' ? await textOf(part.file) : part.valueTruncated ? undefined : part.value
      if (value === undefined) throw invalidField(part.fieldname, `must not be longer than ${MAX_FIELD_BYTES} bytes`)
      if (part.fieldname in fields) throw invalidField(part.fieldname, 'is given twice')
      fields[part.fieldname] = value
    }
    if (request.raw.complete === false) throw new ApiError('upload_incomplete')
    if (!isClosed()) throw new ApiError('malformed_multipart')
    request.checkInput(schema, fields)
    const [first, ...others] = files
    if (first === undefined) throw invalidField(fileFields[0], 'is required')
    return { fields: fields as Static<T>, files: [first, ...others] }
  } catch (error) {
    await Promise.all(files.map(({ received }) => discard(received)))
    request.raw.unpipe()
    request.raw.resume()
    throw formError(request, error, form)
  }
}

/** Returns the text of a field with a content type or a file name; undefined if it has more than MAX_FIELD_BYTES. */
async function textOf (source: Readable): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= MAX_FIELD_BYTES) chunks.push(chunk)
  }
  return bytes <= MAX_FIELD_BYTES ? Buffer.concat(chunks).toString('utf8') : undefined
}

/** The parser accepts a body without its closing boundary, so this function checks the end of the body. */
function watchClosingBoundary ({ raw, headers }: FastifyRequest): () => boolean {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(headers['content-type'] ?? '')
  let tail: Buffer = Buffer.from('\r\n')
  raw.on('data', (chunk: Buffer) => {
    tail = (chunk.length < TAIL_BYTES ? Buffer.concat([tail, chunk]) : chunk).subarray(-TAIL_BYTES)
  })
  return () => boundary !== null && tail.includes(`\r\n--${boundary[1] ?? boundary[2]}--`)
}

function formError (
  { raw }: FastifyRequest,
  error: unknown,
  { fileFields, maxFiles }: FormDefinition<TObject>
): unknown {
  const { code = '', message = '', validation } = error as { code?: string; message?: string; validation?: unknown }
  if (error instanceof ApiError || validation !== undefined) return error
  if (code === 'FST_FILES_LIMIT') return invalidField(fileFields[0], `at most ${maxFiles} may be sent`)
  if (code === 'FST_FIELDS_LIMIT' || code === 'FST_PARTS_LIMIT') {
    return new ApiError('payload_too_large', { cause: error })
  }
  if (code === 'FST_MP_PREMATURE_CLOSE' || (raw.destroyed && !raw.complete)) {
    return new ApiError('upload_incomplete', { cause: error })
  }
  if (code.startsWith('FST_') || /multipart|boundary|part terminated|header/i.test(message)) {
    return new ApiError('malformed_multipart', { cause: error })
  }
  return error
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The multipart form that the handler passes to `receiveForm`. */
    form?: FormSchemas
  }
  interface FastifyRequest {
    /**
     * Resolves to the form of this request after all of it has arrived. **Throws** `unsupported_content_type`,
     * `malformed_multipart`, `upload_incomplete`, `payload_too_large`, `upload_too_large`, `too_many_uploads`,
     * `overloaded`, `validation_failed`, or the error of `receive`. On an error, every received file is discarded.
     */
    receiveForm<T extends TObject, F>(form: FormDefinition<T>, sink: FileSink<F>): Promise<Form<T, F>>
  }
}
