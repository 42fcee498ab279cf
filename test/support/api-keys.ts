import type { Response } from 'light-my-request'
import { scopes, type Scope } from '../../src/accounts/scopes.js'
import type { TestApp } from './test-app.js'
import type { Person } from './client.js'

type Server = Pick<TestApp, 'inject'>

/** An API key as a program holds it. */
export interface HeldKey {
  id: string
  key: string
  headers: { authorization: string }
}

interface KeyOptions {
  scopes?: readonly Scope[]
  expires_in_days?: number
  addresses?: string[]
}

export async function requestKey (server: Server, person: Person, options: KeyOptions = {}): Promise<Response> {
  const payload = { name: 'A program', scopes, ...options }
  return await server.inject({ method: 'POST', url: '/api-keys', headers: person.headers, payload })
}

/** Creates a key, by default with all scopes. */
export async function newKey (server: Server, person: Person, options: KeyOptions = {}): Promise<HeldKey> {
  const reply = await requestKey(server, person, options)
  if (reply.statusCode !== 201) throw new Error(`could not create a key: ${reply.body}`)
  const { id, key } = reply.json<{ id: string; key: string }>()
  return { id, key, headers: { authorization: `Bearer ${key}` } }
}

export async function revokeKey (server: Server, { headers }: Person, { id }: { id: string }): Promise<void> {
  const reply = await server.inject({ method: 'DELETE', url: `/api-keys/${id}`, headers })
  if (reply.statusCode !== 204) throw new Error(`could not revoke a key: ${reply.body}`)
}

/** Returns the id of any key of a person: an account has at most 50. */
export async function keyOf (server: Server, person: Person): Promise<string> {
  const reply = await server.inject({ url: '/api-keys?size=1', headers: person.headers })
  const [known] = reply.json<{ items: Array<{ id: string }> }>().items
  return known?.id ?? (await newKey(server, person)).id
}
