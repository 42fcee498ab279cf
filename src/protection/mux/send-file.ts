import { createReadStream } from 'node:fs'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { MiB } from '../../bytes.js'
import { MuxFault, refusal } from './mux-fault.js'

/** A multiple of 256 KiB, as Google Cloud Storage requires. An interruption costs at most one chunk. */
const CHUNK_BYTES = 16 * MiB

export interface FileToSend {
  /** The URL of the upload. Whoever has it may write, so it is never logged. */
  url: string
  path: string
  sizeBytes: number
  /** False if Mux may already have a part of the file. */
  fresh: boolean
  /** A connection without data for this time is dead. */
  idleMs: number
  signal: AbortSignal
  /** Called with the number of bytes that Mux has stored, each time it grows. */
  onProgress(bytes: number): void
}

/** The upload no longer accepts data, so the file needs a new upload. */
export class UploadGone extends MuxFault {}

interface Answer {
  status: number
  range: string | undefined
  retryAfter: string | undefined
}

/**
 * Sends a file to a direct upload of Mux, from the end of the last try. It uses the resumable protocol of Google Cloud
 * Storage (308 responses, `Content-Range`). The file is streamed from disk, one chunk a request. **Throws**
 * {@link UploadGone}. After another {@link MuxFault} or an error of the connection, the upload can be resumed.
 */
export async function sendFile (file: FileToSend): Promise<void> {
  let sent = file.fresh ? 0 : await arrivedBytes(file)
  while (sent < file.sizeBytes) {
    const end = Math.min(sent + CHUNK_BYTES, file.sizeBytes)
    const arrived = arrivedOf(
      await put(file, `bytes ${sent}-${end - 1}/${file.sizeBytes}`, { start: sent, end: end - 1 }),
      file
    )
    if (arrived <= sent) throw new MuxFault('Mux accepted none of the sent bytes.')
    file.onProgress((sent = arrived))
  }
}

/** Returns the number of bytes that Mux has, by an empty PUT. */
async function arrivedBytes (file: FileToSend): Promise<number> {
  return arrivedOf(await put(file, `bytes */${file.sizeBytes}`, undefined), file)
}

/** Returns the number of stored bytes: those in `Range` for 308, 0 without `Range`, and all for 200 and 201. */
function arrivedOf ({ status, range, retryAfter }: Answer, { sizeBytes }: FileToSend): number {
  if (status === 200 || status === 201) return sizeBytes
  if (status === 308) return Math.min(sizeBytes, Number(/^bytes=0-(\d+)$/.exec(range ?? 'bytes=0--1')?.[1] ?? -1) + 1)
  const fault = refusal(status, '', retryAfter)
  throw status < 500 && status !== 408 && status !== 429
    ? new UploadGone(`The upload at Mux accepts no more bytes (${status}).`)
    : fault
}

async function put (
  { url, path, idleMs, signal }: FileToSend,
  contentRange: string,
  part: { start: number; end: number } | undefined
): Promise<Answer> {
  const body = part && createReadStream(path, part)
  try {
    return await new Promise((resolve, reject) => {
      const length = part === undefined ? 0 : part.end - part.start + 1
      const request = url.startsWith('https:') ? requestHttps : requestHttp
      const outgoing = request(url, {
        method: 'PUT',
        headers: { 'content-length': length, 'content-range': contentRange },
        signal
      })
      outgoing.setTimeout(idleMs, () => outgoing.destroy(new MuxFault('Mux did not respond in time.')))
      outgoing.once('response', (response) => {
        response.resume()
        const { range, 'retry-after': retryAfter } = response.headers
        resolve({ status: response.statusCode!, range, retryAfter })
      })
      outgoing.on('error', reject)
      if (body === undefined) return outgoing.end()
      body.once('error', (error) => outgoing.destroy(error))
      body.pipe(outgoing)
    })
  } finally {
    body?.destroy()
  }
}
