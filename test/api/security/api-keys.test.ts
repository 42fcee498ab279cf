import fc from 'fast-check'
import t from 'tap'
import { scopes, type Scope } from '../../../src/accounts/scopes.js'
import { newKey, revokeKey, type HeldKey } from '../../support/api-keys.js'
import { figure, seed, sized } from '../../support/measures.js'
import {
  callAs,
  changesScene,
  describedOperations,
  newScene,
  newWorld,
  operations,
  type Case,
  type Description,
  type Scene,
  type Who,
  type World
} from '../../support/operations.js'
import { queriesOf } from '../../support/plans.js'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { signUp, type Person } from '../../support/client.js'

// Every operation of openapi.json × every kind of API key. The scope of each operation is the one that openapi.json
// names, and what the account itself may do is in test/support/operations.ts.

/** Every test client sends from this address, so a key for another network is refused. */
const FOREIGN = ['192.0.2.0/24', '2001:db8::/32']
/** Callers whose keys are used, the first that may do the operation. */
const HOLDERS = ['owner', 'admin', 'subscribed', 'student'] as const
type Holder = (typeof HOLDERS)[number]

interface Expected {
  status: number
  code?: string
}

t.test('the matrix of API keys', async (t) => {
  const server = await buildTestApp(t)
  const descriptions = await describedOperations(server)
  const world = await newWorld(server)
  const keys = new Keys(server, world, await demotedKey(server, world.people.admin!))
  let scene = await newScene(server, world)
  let count = 0

  async function check (name: string, one: Case, { who, key, kind, expected }: Cell): Promise<void> {
    const reply = await callAs(server, name, withKey(one, key), scene, who)
    const cell = `${name} ${one.on ?? ''} with ${kind}`
    t.equal(reply.statusCode, expected.status, `${cell}: ${reply.body.slice(0, 200)}`)
    const hasBody = !name.startsWith('HEAD ')
    if (hasBody && expected.code !== undefined) t.equal(reply.json<{ code: string }>().code, expected.code, cell)
    if (hasBody && expected.code === 'scope_required') {
      const scope = scopeOf(descriptions.get(name)!)
      t.equal(reply.json<{ scope: string | null }>().scope, scope ?? null, `${cell}: names the scope`)
      if (scope !== undefined) t.match(reply.headers['www-authenticate'], `scope="${scope}"`, cell)
    }
    count++
    if (reply.statusCode < 300 && changesScene(name)) scene = await newScene(server, world)
  }

  for (const [name, cases] of Object.entries(operations)) {
    for (const one of cases) {
      const description = descriptions.get(name)!
      const isRead = await readsCredential(one, scene, description)
      for (const cell of await keys.cellsOf(one, scopeOf(description), isRead)) await check(name, one, cell)
    }
  }
  t.ok([...descriptions.values()].filter((one) => scopeOf(one) !== undefined).length > 30, 'scopes are described')
  figure(t, `${Object.keys(operations).length} operations, ${count} cells of API keys: 0 wrong`)
})

t.test('no altered API key is accepted', async (t) => {
  const server = await buildTestApp(t)
  const person = await signUp(server)
  const [{ key }, { key: other }] = [await newKey(server, person), await newKey(server, person)]
  const get = (text: string) => server.inject({ url: '/media', headers: { authorization: `Bearer ${text}` } })
  t.equal((await get(key)).statusCode, 200)
  const runs = sized(200, 2400)
  let tried = 0
  await fc.assert(
    fc.asyncProperty(alterations(key, other), async (altered) => {
      tried++
      const { statusCode, body } = await get(altered)
      if (statusCode !== 401) throw new Error(`${altered}: ${statusCode} ${body}`)
    }),
    { numRuns: runs, seed }
  )
  figure(t, `${tried} altered API keys, seed ${seed}: 0 accepted`)
})

t.test('an unknown key and a wrong secret cost the same statements and get the same response', async (t) => {
  const server = await buildTestApp(t)
  const person = await signUp(server)
  const { key, id } = await newKey(server, person)
  const wrong = `${key.slice(0, -43)}${'A'.repeat(43)}`
  const unknown = wrong.replace(/^pgk_[\da-f]{32}/, `pgk_${'0'.repeat(32)}`)
  t.not(wrong, unknown)
  t.match(wrong, id.replaceAll('-', ''))
  const seen = []
  for (const text of [wrong, unknown]) {
    let body = ''
    const queries = await queriesOf(server.app.db, async () => {
      const reply = await server.inject({ url: '/media', headers: { authorization: `Bearer ${text}` } })
      expectProblem(t, reply, 401, 'invalid_token')
      body = JSON.stringify({ ...reply.json<object>(), request_id: '' })
    })
    seen.push({ body, queries: queries.map(({ sql }) => sql) })
  }
  t.same(seen[0], seen[1])
})

interface Cell {
  who: Who
  key: HeldKey | undefined
  kind: string
  expected: Expected
}

/** The keys of the callers, each created once. */
class Keys {
  readonly #server: TestApp
  readonly #world: World
  readonly #demoted: HeldKey
  readonly #known = new Map<string, Promise<HeldKey>>()

  constructor (server: TestApp, world: World, demoted: HeldKey) {
    this.#server = server
    this.#world = world
    this.#demoted = demoted
  }

  /** Returns every kind of key, and the response to each. `isRead`: the case looks at its credential. */
  async cellsOf (one: Case, scope: Scope | undefined, isRead: boolean): Promise<Cell[]> {
    const who = HOLDERS.find((holder) => one.cells[holder] < 300) ?? 'owner'
    const refusal = (status: number, code: string) => (isRead ? { status, code } : { status: one.cells[who] })
    const unscoped = { status: 403, code: 'scope_required' }
    const allowed = (as: Who) => (isRead && scope === undefined ? unscoped : { status: one.cells[as] })
    const demotedTo = isRead ? 'student' : who
    const invalid = refusal(401, 'invalid_token')
    const foreign = refusal(403, 'key_address_refused')
    return [
      { who, key: undefined, kind: 'no key', expected: { status: one.cells.nobody } },
      { who, key: await this.#with(who, scope), kind: 'its scope', expected: allowed(who) },
      { who, key: await this.#without(who, scope), kind: 'the other scopes', expected: refusal(403, unscoped.code) },
      { who: demotedTo, key: this.#demoted, kind: 'a demoted owner', expected: allowed(demotedTo) },
      { who, key: await this.#expired(who), kind: 'an expired key', expected: invalid },
      { who, key: await this.#revoked(who), kind: 'a revoked key', expected: invalid },
      { who, key: await this.#foreign(who), kind: 'a foreign address', expected: foreign }
    ]
  }

  #with (who: Holder, scope: Scope | undefined): Promise<HeldKey> {
    return this.#once(`${who} ${scope}`, () => this.#create(who, scope === undefined ? scopes : [scope]))
  }

  #without (who: Holder, scope: Scope | undefined): Promise<HeldKey> {
    const others = scopes.filter((one) => one !== scope)
    return this.#once(`${who} without ${scope}`, () => this.#create(who, others))
  }

  #expired (who: Holder): Promise<HeldKey> {
    return this.#once(`${who} expired`, async () => {
      const key = await newKey(this.#server, this.#world.people[who]!, { expires_in_days: 1 })
      await this.#server.query(`update api_keys set expires_at = 1 where id = '${key.id}'`)
      return key
    })
  }

  #revoked (who: Holder): Promise<HeldKey> {
    return this.#once(`${who} revoked`, async () => {
      const key = await this.#create(who, scopes)
      await revokeKey(this.#server, this.#world.people[who]!, key)
      return key
    })
  }

  #foreign (who: Holder): Promise<HeldKey> {
    return this.#once(`${who} foreign`, () =>
      newKey(this.#server, this.#world.people[who]!, { addresses: FOREIGN })
    )
  }

  #create (who: Holder, some: readonly Scope[]): Promise<HeldKey> {
    return newKey(this.#server, this.#world.people[who]!, { scopes: some })
  }

  #once (name: string, create: () => Promise<HeldKey>): Promise<HeldKey> {
    const key = this.#known.get(name) ?? create()
    this.#known.set(name, key)
    return key
  }
}

/** Returns the key of an administrator who became a student. */
async function demotedKey (server: TestApp, admin: Person): Promise<HeldKey> {
  const person = await signUp(server)
  const change = async (role: string) =>
    await server.inject({ method: 'PATCH', url: `/users/${person.id}`, headers: admin.headers, payload: { role } })
  await change('admin')
  const key = await newKey(server, person)
  const before = await server.inject({ url: '/users', headers: key.headers })
  if (before.statusCode !== 200) throw new Error(before.body)
  await change('student')
  return key
}

/** Returns the scope that openapi.json names for API keys; undefined if the operation is closed to keys. */
function scopeOf ({ security = [] }: Description): Scope | undefined {
  return security.flatMap((one) => ('apiKey' in one ? (one.apiKey as Scope[]) : []))[0]
}

/** Returns the case with a key as its credential, unless the case sends a credential of its own. */
function withKey (one: Case, key: HeldKey | undefined): Case {
  return {
    ...one,
    async send (scene, who) {
      const options = (await one.send?.(scene, who)) ?? {}
      return { ...options, headers: { authorization: key?.headers.authorization ?? '', ...options.headers } }
    }
  }
}

/** False if a link, a refresh token or nothing at all authorizes the case, so that its token is not looked at. */
async function readsCredential (one: Case, scene: Scene, description: Description): Promise<boolean> {
  const options = (await one.send?.(scene, 'owner')) ?? {}
  const sendsOwn = 'authorization' in (options.headers ?? {})
  return !sendsOwn && one.cells.disabled === 401 && description.security?.length !== 0
}

/** Texts that differ from a key, some by parts of another genuine key. */
function alterations (key: string, other: string): fc.Arbitrary<string> {
  const at = fc.nat(key.length - 1)
  const text = fc.constantFrom(...'ABCxyz019-_.=+/ ', '', '%41', '__', 'pgk_')
  const cut = key.length - 43
  const caseOf = (letter: string) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase())
  return fc
    .oneof(
      fc.tuple(at, text).map(([index, by]) => key.slice(0, index) + by + key.slice(index + 1)),
      fc.tuple(at, text).map(([index, by]) => key.slice(0, index) + by + key.slice(index)),
      at.map((index) => key.slice(0, index)),
      at.map((index) => key.slice(0, index) + caseOf(key[index]!) + key.slice(index + 1)),
      at.map((index) => key.slice(0, index) + other.slice(index)),
      fc.constantFrom(key.slice(0, cut) + other.slice(cut), `${key},${other}`, `${key}A`, `x${key}`, key.slice(4)),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => {
        return key.slice(0, cut) + Buffer.from(bytes).toString('base64url')
      })
    )
    .filter((altered) => altered.trim() !== key && altered !== other)
}
