import type { InjectOptions, Response } from 'light-my-request'
import { randomUUID } from 'node:crypto'
import { fixture } from './fixtures.js'

/** The members of a response that tests read, in this process and over HTTP. */
export type Answer = Pick<Response, 'statusCode' | 'headers' | 'body' | 'json'>

/** A server that receives requests: a {@link TestApp} in this process, or {@link overHttp} for any other one. */
export interface Client<A extends Answer = Answer> {
  inject(options: InjectOptions): Promise<A>
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Returns a client of a server in another process. Its payloads are objects, strings or buffers. */
export function overHttp (origin: string): Client {
  return {
    async inject ({ method, url, headers, payload }) {
      const isJson = payload !== undefined && typeof payload !== 'string' && !Buffer.isBuffer(payload)
      const reply = await fetch(origin + String(url), {
        method,
        headers: { ...(isJson && { 'content-type': 'application/json' }), ...(headers as Record<string, string>) },
        body: isJson ? JSON.stringify(payload) : (payload as string | Uint8Array<ArrayBuffer> | undefined)
      })
      const body = await reply.text()
      const json = <T>() => JSON.parse(body) as T
      return { statusCode: reply.status, headers: Object.fromEntries(reply.headers), body, json }
    }
  }
}

/** Sends a request with a JSON body. */
export async function call<A extends Answer> (
  server: Client<A>,
  method: Method,
  url: string,
  person?: Caller,
  payload?: unknown
): Promise<A> {
  return await server.inject({
    method,
    url,
    headers: person?.headers,
    ...(payload !== undefined && { payload: payload as object })
  })
}

/** Sends a request that must succeed. Returns its JSON. */
export async function done<T> (
  server: Client,
  method: Method,
  url: string,
  person?: Caller,
  payload?: unknown
): Promise<T> {
  return succeeded(await call(server, method, url, person, payload)).json<T>()
}

/** Returns a reply, or throws if the request was refused. */
export function succeeded<A extends Answer> (reply: A): A {
  if (reply.statusCode >= 300) throw new Error(`the request was refused: ${reply.statusCode} ${reply.body}`)
  return reply
}

/** The account of a request. */
export interface Caller {
  headers: { authorization: string }
}

export interface Person extends Caller {
  id: string
  email: string
  token: string
}

/** The password of all accounts that {@link signUp} creates. */
export const PASSWORD = 'secure_password123'
let people = 0

/** Creates an account with a name. The first account of a server is its administrator. */
export async function signUp (
  server: Client,
  role: 'instructor' | 'student' = 'instructor',
  email = `person-${++people}@example.org`
): Promise<Person> {
  const reply = await server.inject({
    method: 'POST',
    url: '/auth/register',
    payload: {
      first_name: 'Test',
      last_name: 'Person',
      email,
      password: PASSWORD,
      date_of_birth: '1990-01-01',
      mobile_number: `+1${String(1e10 + ++people)}`,
      role
    }
  })
  const { id, token } = succeeded(reply).json<{ id: string; token: string }>()
  return { id, email, token, ...callerOf(token) }
}

/** Logs in with an email and a password. */
export async function logIn<A extends Answer> (server: Client<A>, email: string, password = PASSWORD): Promise<A> {
  return await call(server, 'POST', '/auth/login', undefined, { email, password })
}

/** Creates an account on a server in another process. Returns its token. */
export async function newToken (origin: string, email: string): Promise<string> {
  return (await signUp(overHttp(origin), 'instructor', email)).token
}

/** Returns the caller of a token. */
export const callerOf = (token: string): Caller => ({ headers: { authorization: `Bearer ${token}` } })

/** The administrator, an instructor and a student of a fresh server. */
export async function signUpEverybody (
  server: Client
): Promise<{ admin: Person; instructor: Person; student: Person }> {
  const admin = await signUp(server)
  return { admin, instructor: await signUp(server), student: await signUp(server, 'student') }
}

export interface FormPart {
  name: string
  value: string | Buffer
  fileName?: string
  contentType?: string
}

/** Returns a multipart body and its headers. */
export function form (parts: FormPart[]): { headers: Record<string, string>; payload: Buffer } {
  const boundary = `----test${randomUUID()}`
  const chunks = parts.flatMap(({ name, value, fileName, contentType = 'application/octet-stream' }) => {
    const file = fileName === undefined ? '' : `; filename="${fileName}"\r\ncontent-type: ${contentType}`
    return [`--${boundary}\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n`, value, '\r\n']
  })
  const payload = Buffer.concat([...chunks, `--${boundary}--\r\n`].map((chunk) => Buffer.from(chunk as string)))
  return { headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }, payload }
}

/** Uploads a fixture, or the given content, as a form. */
export async function upload<A extends Answer> (
  server: Client<A>,
  person: Caller,
  file: string | Buffer = 'tiny.mp4',
  fields: Record<string, string> = {}
): Promise<A> {
  const content = typeof file === 'string' ? await fixture(file) : file
  return await postForm(server, '/media', person, [
    ...textParts({ title: 'A title', type: 'video', ...fields }),
    { name: 'file', value: content, fileName: typeof file === 'string' ? file : 'file.bin' }
  ])
}

export const textParts = (fields: object): FormPart[] =>
  Object.entries(fields).map(([name, value]) => ({ name, value: String(value) }))

/** Sends a multipart form. */
export async function postForm<A extends Answer> (
  server: Client<A>,
  url: string,
  person: Caller | undefined,
  parts: FormPart[]
): Promise<A> {
  const { headers, payload } = form(parts)
  return await server.inject({ method: 'POST', url, headers: { ...headers, ...person?.headers }, payload })
}

/** Creates a media with an external URL. Returns its id. */
export async function newLinkedMedia (server: Client, person: Caller, fields = {}): Promise<string> {
  const payload = {
    title: 'A talk',
    type: 'video',
    file_url: 'https://cdn.example.org/talk.mp4',
    visibility: 'public',
    ...fields
  }
  return (await done<{ id: string }>(server, 'POST', '/media', person, payload)).id
}

/** Issues a link. Returns its path and query. */
export async function mintLink (server: Client, mediaId: string, person?: Caller, query = ''): Promise<string> {
  const url = `/media/${mediaId}/stream-url${query}`
  return pathOf((await done<{ stream_url: string }>(server, 'GET', url, person)).stream_url)
}

/** Issues a link to an uploaded file. Returns its path and query. */
export async function mintOriginalLink (server: Client, mediaId: string, person: Caller): Promise<string> {
  const url = `/media/${mediaId}/original-url`
  return pathOf((await done<{ original_url: string }>(server, 'GET', url, person)).original_url)
}

/** Returns the path and the query of a URL. */
export const pathOf = (url: string) => new URL(url).pathname + new URL(url).search
