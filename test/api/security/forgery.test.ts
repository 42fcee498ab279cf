import fc from 'fast-check'
import { createHmac, createPrivateKey, createSign, generateKeyPairSync, randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import t, { type Test } from 'tap'
import { loadSecrets } from '../../../src/secrets/keyring.js'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'
import { protectedMedia } from '../../support/protected-server.js'
import { figure, seed, sized } from '../../support/measures.js'

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const hmac = (algorithm: string, key: Buffer | string, text: string) =>
  createHmac(algorithm, key).update(text).digest('base64url')
/** A token as whoever holds the key would make it. */
const tokenBy = (key: Buffer | string, header: unknown, claims: unknown, algorithm = 'sha256') => {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${hmac(algorithm, key, text)}`
}

t.test('tokens', async (t) => {
  const server = await buildTestApp(t, {
    SECRET_KEYS_PREVIOUS: 'the secret before this one has thirty-two characters too'
  })
  const { admin } = await signUpEverybody(server)
  const { current } = loadSecrets(server.config).keyring('jwt')
  const previous = loadSecrets({
    ...server.config,
    secretKey: server.config.secretKeysPrevious[0]!,
    secretKeysPrevious: []
  }).keyring('jwt').current
  const seconds = Math.floor(Date.now() / 1000)
  const header = { alg: 'HS256', typ: 'JWT', kid: current.id }
  // As this server makes them, whatever else it may put into them.
  const [genuineHeader, genuineClaims] = admin.token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>)
  const claims = genuineClaims!
  const who = async (token: string) =>
    await server.inject({ url: '/auth/me', headers: { authorization: `Bearer ${token}` } })
  const without = (name: string) => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name))

  t.test('one that is made as ours are is taken, by the current key and the previous one', async (t) => {
    t.same(genuineHeader, header)
    t.equal((await who(tokenBy(current.key, header, claims))).statusCode, 200)
    t.equal((await who(tokenBy(previous.key, { ...header, kid: previous.id }, claims))).statusCode, 200)
  })

  const rsa = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' }
  })
  const signedByRsa = (head: object) => {
    const text = `${encode(head)}.${encode(claims)}`
    return `${text}.${createSign('sha256').update(text).sign(createPrivateKey(rsa.privateKey)).toString('base64url')}`
  }
  const [a, b, c] = admin.token.split('.') as [string, string, string]
  const purposes = (['link', 'media', 'viewer-address'] as const).map(
    (purpose) =>
      [
        `the key for ${purpose}`,
        tokenBy(loadSecrets(server.config).keyring(purpose).current.key, header, claims)
      ] as const
  )
  const attacks: Array<readonly [name: string, token: string]> = [
    ...['none', 'None', 'nOnE', 'NONE', ''].flatMap(
      (alg) =>
        [
          [`alg ${alg}, no signature`, `${encode({ ...header, alg })}.${b}.`],
          [`alg ${alg}, the old signature`, `${encode({ ...header, alg })}.${b}.${c}`],
          [`alg ${alg}, no dot`, `${encode({ ...header, alg })}.${b}`]
        ] as const
    ),
    ...[
      ['HS384', 'sha384'],
      ['HS512', 'sha512'],
      ['hs256', 'sha256'],
      ['HS1', 'sha1'],
      ['RS256', 'sha256'],
      ['ES256', 'sha256'],
      ['PS256', 'sha256'],
      ['EdDSA', 'sha256']
    ].map(
      ([alg, algorithm]) =>
        [`alg ${alg} by our own key`, tokenBy(current.key, { ...header, alg }, claims, algorithm)] as const
    ),
    ['alg missing', tokenBy(current.key, { typ: 'JWT', kid: current.id }, claims)],
    ['alg a list', tokenBy(current.key, { ...header, alg: ['HS256'] }, claims)],
    ['RS256 by a stranger', signedByRsa({ ...header, alg: 'RS256' })],
    ['a key in the header', signedByRsa({ ...header, alg: 'RS256', jwk: { kty: 'RSA' }, x5c: [rsa.publicKey] })],
    ['a public key as the secret', tokenBy(rsa.publicKey, header, claims)],
    ['the master secret itself', tokenBy(server.env.SECRET_KEY!, header, claims)],
    ['an empty secret', tokenBy('', header, claims)],
    ['a guessed secret', tokenBy('secret', header, claims)],
    ...purposes,
    ['the previous key under the name of the current', tokenBy(previous.key, header, claims)],
    ['the current key under the name of the previous', tokenBy(current.key, { ...header, kid: previous.id }, claims)],
    ...['', 'nope', '__proto__', '../../dev/null', "' or 1=1 --", null, 0, ['x'], { toString: 'x' }].map(
      (kid) => [`kid ${JSON.stringify(kid)}`, tokenBy(current.key, { ...header, kid }, claims)] as const
    ),
    ['no kid', tokenBy(current.key, { alg: 'HS256', typ: 'JWT' }, claims)],
    ['expired', tokenBy(current.key, header, { ...claims, iat: seconds - 4000, exp: seconds - 1 })],
    ['expired long ago', tokenBy(current.key, header, { ...claims, exp: 0 })],
    ['exp as text', tokenBy(current.key, header, { ...claims, exp: String(seconds + 1000) })],
    ['iat in the future', tokenBy(current.key, header, { ...claims, iat: seconds + 3600, exp: seconds + 7200 })],
    ['nbf in the future', tokenBy(current.key, header, { ...claims, nbf: seconds + 3600 })],
    ...['sub', 'iat', 'exp', 'jti', 'iss', 'aud'].flatMap(
      (name) =>
        [
          [`no ${name}`, tokenBy(current.key, header, without(name))],
          [`${name} null`, tokenBy(current.key, header, { ...claims, [name]: null })],
          [`${name} an object`, tokenBy(current.key, header, { ...claims, [name]: {} })]
        ] as const
    ),
    ['another issuer', tokenBy(current.key, header, { ...claims, iss: 'elsewhere' })],
    ['another audience', tokenBy(current.key, header, { ...claims, aud: 'playgate-stream' })],
    ['other audiences', tokenBy(current.key, header, { ...claims, aud: ['a', 'b'] })],
    ['the subject of nobody', tokenBy(current.key, header, { ...claims, sub: randomUUID() })],
    ...['', 'admin', '1', "' or 1=1 --", '__proto__', admin.email].map(
      (sub) => [`sub ${sub}`, tokenBy(current.key, header, { ...claims, sub })] as const
    ),
    ['claims that are no object', tokenBy(current.key, header, [claims])],
    ['claims that are no JSON', tokenBy(current.key, header, 'x')],
    ['a doubled claim, the last forged', `${a}.${encode(`{"sub":"${admin.id}","sub":"${randomUUID()}"}`)}.${c}`],
    ['other claims under the old signature', `${a}.${encode({ ...claims, role: 'student' })}.${c}`],
    ['other claims under an old signature in a known header', `${encode({ ...header, x: 1 })}.${b}.${c}`],
    ['no signature', `${a}.${b}.`],
    ['two parts', `${a}.${b}`],
    ['four parts', `${admin.token}.${c}`],
    ['five parts', `${a}.${b}.${c}.${b}.${c}`],
    ['empty parts', '..'],
    ['a padded signature', `${admin.token}=`],
    ['a space within', `${a}. ${b}.${c}`],
    ['a line break', `${admin.token}\u0085`],
    ['base64, not base64url', `${a}.${b}.${c.slice(0, -1)}+`],
    ['twice', `${admin.token},${admin.token}`],
    ['one character more', `${admin.token}A`],
    ['one character less', admin.token.slice(0, -1)],
    ['a huge token', `${a}.${'A'.repeat(1_000_000)}.${c}`],
    ['a huge header', `${'A'.repeat(1_000_000)}.${b}.${c}`],
    ['only dots', '.'.repeat(100_000)],
    ['huge genuine claims', tokenBy(current.key, header, { ...claims, sub: 'x'.repeat(500_000) })],
    ['deep claims', tokenBy(current.key, header, `${'['.repeat(100_000)}${']'.repeat(100_000)}`)]
  ]
  t.test(`none of ${attacks.length} forged ones is`, async (t) => {
    for (const [name, token] of attacks) {
      const reply = await who(token)
      if (reply.statusCode !== 401) t.fail(`${name}: ${reply.statusCode} ${reply.body.slice(0, 200)}`)
      else expectProblem(t, reply, 401, 'invalid_token')
    }
  })

  t.test('no other character in any place of one is', async (t) => {
    let taken = 0
    for (let index = 0; index < admin.token.length; index++) {
      for (const character of ['', 'A', 'B', '_', '.', ' ']) {
        const mutated = admin.token.slice(0, index) + character + admin.token.slice(index + 1)
        if (mutated !== admin.token && (await who(mutated)).statusCode !== 401) taken++
      }
    }
    t.equal(taken, 0)
  })

  t.test('other ways to hand one over are not known', async (t) => {
    const attempts: Array<{ headers?: Record<string, string>; query?: string; status: number }> = [
      { query: `?access_token=${admin.token}`, status: 401 },
      { query: `?token=${admin.token}`, status: 401 },
      { headers: { cookie: `token=${admin.token}; access_token=${admin.token}` }, status: 401 },
      { headers: { 'x-access-token': admin.token }, status: 401 },
      { headers: { authorization: admin.token }, status: 401 },
      { headers: { authorization: `Token ${admin.token}` }, status: 401 },
      { headers: { authorization: `Basic ${admin.token}` }, status: 401 },
      { headers: { 'proxy-authorization': `Bearer ${admin.token}` }, status: 401 },
      { headers: { authorization: `bEARER   ${admin.token}` }, status: 200 }
    ]
    for (const { headers = {}, query = '', status } of attempts) {
      t.equal(
        (await server.inject({ url: `/auth/me${query}`, headers })).statusCode,
        status,
        JSON.stringify({ headers, query }).slice(0, 60)
      )
    }
  })
  figure(t, `${attacks.length} forged tokens, ${admin.token.length * 6} altered ones: 0 accepted`)
})

t.test('links', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const plain = (await upload(server, instructor)).json<{ id: string }>().id
  const stream = await mintLink(server, plain, instructor, '?expires_in=86400')
  const playlist = await mintLink(server, await protectedMedia(server, instructor), instructor, '?expires_in=86400')
  const get = wire(t, await server.listen())
  for (const link of [stream, playlist]) t.match(await get(link), { taken: true })

  const runs = sized(250, 6200)
  for (const [name, link, other] of [
    ['stream', stream, playlist],
    ['playlist', playlist, stream]
  ] as const) {
    await t.test(`no altered link to a ${name} is taken`, async (t) => {
      const statuses = new Map<number, number>()
      await fc.assert(
        fc.asyncProperty(mutations(link, other), async (mutated) => {
          if (sameRequest(mutated, link)) return
          const { status, taken } = await get(mutated)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          if (taken || status >= 500) throw new Error(`${mutated}: ${status}`)
        }),
        { numRuns: runs, seed }
      )
      t.ok(statuses.has(403))
      figure(
        t,
        `${[...statuses.values()].reduce((sum, count) => sum + count, 0)} altered links to a ${name}, seed ${seed}: ${[
          ...statuses
        ]
          .sort()
          .map(([status, count]) => `${count} × ${status}`)
          .join(', ')}; 0 accepted`
      )
    })
  }
})

/**
 * Requests over one connection that is kept, the target as it is but for what no request line can hold. `taken`: media
 * or a playlist came back.
 */
function wire (t: Test, origin: string): (target: string) => Promise<{ status: number; taken: boolean }> {
  const { hostname, port } = new URL(origin)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  return (target) =>
    new Promise((resolve, reject) => {
      request({ host: hostname, port, path: sendable(target), agent, headers: { range: 'bytes=0-0' } }, (response) => {
        const { statusCode: status = 0, headers } = response
        const taken =
          (status < 300 && !/^(application\/json|text\/html)/.test(headers['content-type'] ?? '')) ||
          (status >= 300 && status < 400) ||
          status === 416
        response
          .resume()
          .on('end', () => resolve({ status, taken }))
          .on('error', reject)
      })
        .on('error', reject)
        .end()
    })
}

const sendable = (target: string) =>
  target.replaceAll(/[^\x21-\x7e]/g, (character) =>
    encodeURIComponent(/\p{Cs}/u.test(character) ? '\ufffd' : character)
  )

/**
 * An encoded letter of the path, a slash at its end, and a query where the link has none are no alteration of a link:
 * it is the same request. So is another file that the token of a playlist is for.
 */
function sameRequest (mutated: string, link: string): boolean {
  const canonical = (target: string) => {
    const [path = '', ...query] = link.includes('?') ? sendable(target).split('?') : sendable(target).split(/[?#]/, 1)
    try {
      return [
        decodeURIComponent(path)
          .replace(/^\/api\/v1(?=\/)/, '')
          .replace(/(?<=.)\/$/, '')
          .replace(/^\/media(?=\/media\/)/, '')
          .replace(/\/media\.m3u8$/, '/master.m3u8'),
        ...query
      ].join('?')
    } catch {
      return target
    }
  }
  return canonical(mutated) === canonical(link)
}

/** What may be tried on a link: every one of them differs from it, or is the same request. */
function mutations (link: string, other: string): fc.Arbitrary<string> {
  const at = fc.nat(link.length - 1)
  const text = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }),
    fc.constantFrom(...'ABCxyz019-_.&=%+#;/', '%00', '%2e', '%26', '..', '//', '\\')
  )
  const percent = (character: string) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  const separator = link.includes('?') ? /[?&]/ : /[./]/
  const pieces = link.split(separator)
  return fc
    .oneof(
      fc.tuple(at, text).map(([index, by]) => link.slice(0, index) + by + link.slice(index + 1)),
      fc.tuple(at, text).map(([index, by]) => link.slice(0, index) + by + link.slice(index)),
      fc
        .tuple(at, fc.integer({ min: 1, max: 50 }))
        .map(([index, length]) => link.slice(0, index) + link.slice(index + length)),
      fc
        .tuple(at, at)
        .map(([a, b]) =>
          [...link].map((character, index) => (index === a ? link[b] : index === b ? link[a] : character)).join('')
        ),
      fc
        .array(fc.integer({ min: Math.floor(link.length / 3), max: link.length - 1 }), { minLength: 1 })
        .map((places) =>
          [...link].map((character, index) => (places.includes(index) ? percent(character) : character)).join('')
        ),
      at.map(
        (index) =>
          link.slice(0, index) +
          (link[index] === link[index]!.toLowerCase() ? link[index]!.toUpperCase() : link[index]!.toLowerCase()) +
          link.slice(index + 1)
      ),
      // Values of another genuine link, for another media or another purpose.
      fc
        .tuple(fc.nat(pieces.length - 1), fc.nat(20))
        .map(([index, from]) => link.replace(pieces[index]!, other.split(/[?&./]/)[from] ?? '')),
      fc
        .tuple(
          fc.constantFrom('&', '?', ';', '&&', '#'),
          fc.constantFrom('exp', 'gen', 'kid', 'lid', 'sub', 'sig', 't', 'download'),
          text
        )
        .map(([mark, name, value]) => `${link}${mark}${name}=${value}`),
      fc
        .shuffledSubarray(pieces.slice(1))
        .map((some) => `${pieces[0]}${link.includes('?') ? '?' : '/'}${some.join(link.includes('?') ? '&' : '.')}`)
    )
    .filter((mutated) => mutated !== link && mutated.startsWith('/'))
}
