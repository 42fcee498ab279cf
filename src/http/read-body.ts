import type { IncomingMessage } from 'node:http'
import { ApiError } from '../errors.js'

/** Reads a body of at most `maxBytes`. **Throws** `payload_too_large`; the connection stays open for the response. */
export async function readBody (body: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(body.headers['content-length'] ?? 0) > maxBytes) throw new ApiError('payload_too_large')
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new ApiError('payload_too_large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
