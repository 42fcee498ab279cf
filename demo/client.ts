import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Agent, request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { DemoFile } from './terminal.js'

const READ_BYTES = 256 * 1024

/** A failed check of the demo. Its message is one sentence for the user of the demo. */
export class DemoFailure extends Error {}

export interface Call {
  method?: string
  headers?: OutgoingHttpHeaders
  /** Sent as JSON. */
  json?: unknown
  /** The client address of the request. */
  from?: string | undefined
}

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  bytes: Buffer
}

/** A file of a form, under the name of its field. */
export interface FormFile {
  field: string
  file: DemoFile
}

export type Progress = (bytes: number) => void

/** Uses a new connection for each request, because each request has its own client address. */
const agent = new Agent({ keepAlive: false })

/** Sends a request and reads the whole response into memory: for JSON and small ranges, never for a file. */
export async function call (url: string, options: Call = {}): Promise<Answer> {
  const response = await begin(url, options, (outgoing) =>
    outgoing.end(options.json === undefined ? undefined : JSON.stringify(options.json))
  )
  return { status: response.statusCode!, headers: response.headers, bytes: await buffer(response) }
}

/**
 * Returns the JSON of a response with the expected status. **Throws** {@link DemoFailure} with the message of the
 * server for any other status.
 */
export function jsonOf<T = Record<string, unknown>> ({ status, bytes }: Answer, expected: number): T {
  const body = JSON.parse(bytes.toString() || '{}') as T & { detail?: string }
  if (status !== expected) throw new DemoFailure(`the server answered ${status}: ${body.detail ?? 'no reason given'}`)
  return body
}

/**
 * Posts files as multipart/form-data (RFC 7578) with a Content-Length. The files are read from disk as the server
 * receives them, so only a few blocks are in memory. An early refusal is returned like any other response.
 */
export async function upload (
  url: string,
  headers: OutgoingHttpHeaders,
  fields: Record<string, string>,
  files: FormFile[],
  onProgress: Progress
): Promise<Answer> {
  const boundary = `playgate-demo-${crypto.randomUUID()}`
  const head = Buffer.from(
    Object.entries(fields)
      .map(([name, value]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
      .join('')
  )
  const parts = files.map(({ field, file }) => ({
    file,
    before: Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="${field}"; ` +
        `filename="${file.name.replaceAll('"', '%22')}"\r\ncontent-type: application/octet-stream\r\n\r\n`
    )
  }))
  const after = Buffer.from('\r\n')
  const tail = Buffer.from(`--${boundary}--\r\n`)
  async function * body () {
    yield head
    let sent = 0
    for (const { before, file } of parts) {
      yield before
      for await (const chunk of createReadStream(file.path, {
        highWaterMark: READ_BYTES,
        end: Math.max(0, file.sizeBytes - 1)
      }) as AsyncIterable<Buffer>) {
        yield chunk
        onProgress((sent += chunk.length))
      }
      yield after
    }
    yield tail
  }
  const length = parts.reduce(
    (sum, { before, file }) => sum + before.length + file.sizeBytes + after.length,
    head.length + tail.length
  )
  const response = await begin(
    url,
    {
      method: 'POST',
      headers: { ...headers, 'content-type': `multipart/form-data; boundary=${boundary}`, 'content-length': length }
    },
    (outgoing) => pipeline(body, outgoing)
  )
  return { status: response.statusCode!, headers: response.headers, bytes: await buffer(response) }
}

/** Reads a stream to its end, and returns only its SHA-256 (hex) and length. */
export async function download (
  url: string,
  onProgress: Progress
): Promise<{ status: number; sha256: string; sizeBytes: number }> {
  const response = await begin(url, {}, (outgoing) => outgoing.end())
  return { status: response.statusCode!, ...(await digest(response, onProgress)) }
}

/** Returns the SHA-256 (hex) and the length of a stream. */
export async function digest (
  source: AsyncIterable<Buffer>,
  onProgress: Progress = () => {}
): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of source) {
    hash.update(chunk)
    onProgress((sizeBytes += chunk.length))
  }
  return { sha256: hash.digest('hex'), sizeBytes }
}

async function begin (
  url: string,
  { method = 'GET', headers, json, from }: Call,
  send: (outgoing: ReturnType<typeof request>) => unknown
): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, {
      agent,
      method,
      headers: {
        'user-agent': 'playgate-demo',
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...headers
      },
      ...(from !== undefined && { localAddress: from })
    })
    outgoing.once('response', resolve)
    outgoing.on('error', reject)
    Promise.resolve(send(outgoing)).catch(reject)
  })
}
