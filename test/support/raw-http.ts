import { randomBytes } from 'node:crypto'
import { request, type IncomingHttpHeaders } from 'node:http'
import { wavHeader } from '../../src/process/wav-header.js'

export interface WireReply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}
export interface Ask {
  method?: string
  headers?: Record<string, string>
  from?: string
  body?: Buffer
}

/** One request over a socket of its own, sent from an address of this machine; `target` is a path, sent as it is. */
export function ask (
  origin: string,
  target: string,
  { method = 'GET', headers = {}, from, body }: Ask = {}
): Promise<WireReply> {
  const { hostname, port } = new URL(origin)
  const host = hostname.replaceAll(/[[\]]/g, '')
  return new Promise((resolve, reject) => {
    request({ host, port, path: target, method, headers, localAddress: from, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('error', reject)
        .on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) })
        )
    })
      .on('error', reject)
      .end(body)
  })
}

/** A valid WAV of this many bytes of 16-bit stereo noise: large, and no two stretches of it alike. */
export function noiseWav (bytes: number): Buffer {
  const header = wavHeader({ bytes, channels: 2, samplesPerSecond: 44_100, bitsPerSample: 16 })
  return Buffer.concat([header, randomBytes(bytes)])
}
