import type { InjectOptions, Response } from 'light-my-request'
import { createHash } from 'node:crypto'
import type { TestApp } from './test-app.js'
import type { Person } from './client.js'

type Server = Pick<TestApp, 'inject'>

const PART_TYPE = 'application/offset+octet-stream'

/** The text of Upload-Metadata. */
export const metadataOf = (fields: Record<string, string>): string =>
  Object.entries(fields)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',')

export const checksumOf = (bytes: Buffer, algorithm = 'sha256'): string =>
  `${algorithm} ${createHash(algorithm).update(bytes).digest('base64')}`

/** A request of tus to a server, as a person. */
export async function tus (
  { inject }: Server,
  person: Pick<Person, 'headers'>,
  { headers, ...options }: InjectOptions
): Promise<Response> {
  return await inject({ ...options, headers: { 'tus-resumable': '1.0.0', ...person.headers, ...headers } })
}

/** Creates an upload. Returns the reply. */
export async function create (
  server: Server,
  person: Pick<Person, 'headers'>,
  sizeBytes: number,
  fields: Record<string, string> = { title: 'A title' }
): Promise<Response> {
  const headers = { 'upload-length': String(sizeBytes), 'upload-metadata': metadataOf(fields) }
  return await tus(server, person, { method: 'POST', url: '/media/uploads', headers })
}

/** Creates an upload that must succeed. Returns its path. */
export async function created (...args: Parameters<typeof create>): Promise<string> {
  const reply = await create(...args)
  if (reply.statusCode !== 201) throw new Error(`could not create an upload: ${reply.body}`)
  return String(reply.headers.location)
}

/** Sends a part. */
export async function send (
  server: Server,
  person: Pick<Person, 'headers'>,
  url: string,
  part: { offset: number; bytes: Buffer; headers?: Record<string, string> }
): Promise<Response> {
  const headers = { 'upload-offset': String(part.offset), 'content-type': PART_TYPE, ...part.headers }
  return await tus(server, person, { method: 'PATCH', url, headers, payload: part.bytes })
}

export async function head (server: Server, person: Pick<Person, 'headers'>, url: string): Promise<Response> {
  return await tus(server, person, { method: 'HEAD', url })
}

export const offsetIn = ({ headers }: Response): number => Number(headers['upload-offset'])
