import t from 'tap'
import { buildTestApp, openTestApp, type TestApp } from '../../support/test-app.js'
import { mintLink, newLinkedMedia, signUpEverybody, upload } from '../../support/client.js'
import { ask, noiseWav } from '../../support/raw-http.js'

async function withMedia (server: TestApp) {
  const { instructor } = await signUpEverybody(server)
  const { id } = (await upload(server, instructor, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>()
  return { server, instructor, id, origin: await server.listen() }
}

const { server, instructor, id, origin } = await withMedia(
  await buildTestApp(t, { TRUSTED_PROXIES: '127.0.0.5, 127.0.1.0/24' })
)

interface Minted {
  stream_url: string
  expires_in: number
  expires_at: string
  media_id: string
}
const mint = async (query: string, of = id) =>
  await server.inject({ url: `/media/${of}/stream-url${query}`, headers: instructor.headers })

t.test('a link lives as long as was asked', async (t) => {
  const { id: long } = (await upload(server, instructor, noiseWav(176_400 * 3), { type: 'audio' })).json<{
    id: string
  }>()
  const elsewhere = await newLinkedMedia(server, instructor)
  const cases: Array<[query: string, of: string, seconds: number]> = [
    ['', id, 600],
    ['?expires_in=1', id, 1],
    ['?expires_in=3600', id, 3600],
    ['?expires_in=86400', id, 86_400],
    ['?expires_in=auto', id, 603],
    ['?expires_in=auto', long, 605],
    ['?expires_in=auto', elsewhere, 600],
    ['?x=y', id, 600]
  ]
  for (const [query, of, seconds] of cases) {
    const minted = (await mint(query, of)).json<Minted>()
    t.equal(minted.expires_in, seconds, query)
    t.equal(minted.media_id, of)
    const exp = Number(new URL(minted.stream_url).searchParams.get('exp'))
    t.equal(exp, Math.floor(server.clock.now / 1000) + seconds)
    t.match(minted.expires_at, /Z$/)
    t.equal(Date.parse(minted.expires_at), exp * 1000)
    t.same([...new URL(minted.stream_url).searchParams.keys()], ['exp', 'gen', 'kid', 'lid', 'sub', 'sig'])
  }
  for (const bad of ['0', '-1', '86401', '1.5', 'Auto', '', 'x', '1e99', 'Infinity', '10&expires_in=20']) {
    const reply = await mint(`?expires_in=${bad}`)
    t.equal(reply.statusCode, 422, bad)
    t.equal(reply.json<{ errors: Array<{ path: string }> }>().errors[0]?.path, 'expires_in')
  }
})

t.test('a link dies in the second it names', async (t) => {
  const link = await mintLink(server, id, instructor, '?expires_in=60')
  const exp = Number(/exp=(\d+)/.exec(link)![1])
  server.clock.now = exp * 1000 - 1
  const last = await ask(origin, link)
  t.equal(last.status, 200)
  t.match(last.headers['cache-control'], /^private, max-age=[01]$/)
  server.clock.now = exp * 1000
  t.equal((await ask(origin, link)).status, 403)
})

t.test('no row is written for a link', async (t) => {
  const rows = async () => (await server.query('select id from views')).length
  const before = await rows()
  await mintLink(server, id, instructor)
  t.equal(await rows(), before)
})

const originOf = async (headers: Record<string, string>, from?: string, at = origin) =>
  new URL(
    (JSON.parse((await ask(at, `/media/${id}/stream-url`, { headers, from })).body.toString()) as Minted).stream_url
  ).origin

t.test('a link names the origin that was asked', async (t) => {
  t.equal(await originOf({}), origin)
  t.equal(await originOf({ host: 'media.example.org' }), 'http://media.example.org')
  t.equal(await originOf({ host: 'media.example.org:8080' }), 'http://media.example.org:8080')
  t.equal(await originOf({ host: '[::1]:8000' }), 'http://[::1]:8000')
})

t.test('forwarded headers count only from trusted proxies', async (t) => {
  const forwarded = {
    'x-forwarded-host': 'media.example.org',
    'x-forwarded-proto': 'https',
    'x-forwarded-for': '203.0.113.9'
  }
  t.equal(await originOf(forwarded), origin, 'from anybody')
  t.equal(await originOf(forwarded, '127.0.0.6'), origin, 'from a neighbour')
  t.equal(await originOf(forwarded, '127.0.0.5'), 'https://media.example.org', 'from a trusted address')
  t.equal(await originOf(forwarded, '127.0.1.77'), 'https://media.example.org', 'from a trusted network')
  t.equal(await originOf({ 'x-forwarded-host': 'evil" onload="x' }, '127.0.0.5'), origin, 'a hostile host')
})

t.test('a hostile Host header is not put into a link', async (t) => {
  for (const host of [
    'evil.example/x?',
    'user@evil.example',
    '"><script>',
    'a b',
    'evil.example:port',
    'a#b',
    'a\\b',
    '[::1',
    ''
  ]) {
    t.equal(await originOf({ host }), origin, host)
  }
})

t.test('bug: an IPv6 address of our own lacked its brackets in a link', async (t) => {
  const own = await openTestApp(t, server.env, server.folder)
  await own.app.listen({ host: '::1', port: 0 }).catch(() => t.comment('no IPv6 on this machine'))
  const address = own.app.server.address() as { port: number } | null
  if (address === null) return
  const at = `http://[::1]:${address.port}`
  t.equal(await originOf({ host: 'a b' }, undefined, at), at)
})

t.test('PUBLIC_URL goes before all', async (t) => {
  const { server, instructor, id } = await withMedia(
    await buildTestApp(t, { PUBLIC_URL: 'https://media.example.com', TRUSTED_PROXIES: '127.0.0.1' })
  )
  const reply = await server.inject({
    url: `/media/${id}/stream-url`,
    headers: { ...instructor.headers, host: 'a.example', 'x-forwarded-host': 'b.example' }
  })
  t.ok(reply.json<Minted>().stream_url.startsWith(`https://media.example.com/media/stream/${id}?exp=`))
})

t.test('a link signed by the previous key is taken, one of a key that is gone is not', async (t) => {
  const { server, instructor, id } = await withMedia(await buildTestApp(t))
  const link = await mintLink(server, id, instructor)
  await server.app.close()
  const next = { ...server.env, SECRET_KEY: 'another test secret of at least thirty-two characters' }
  const rotated = await openTestApp(t, { ...next, SECRET_KEYS_PREVIOUS: server.env.SECRET_KEY! }, server.folder)
  const twin = await openTestApp(t, { ...next, SECRET_KEYS_PREVIOUS: server.env.SECRET_KEY! }, server.folder)
  for (const other of [rotated, twin]) other.clock.now = server.clock.now
  t.equal((await ask(await rotated.listen(), link)).status, 200)
  t.equal(
    (await ask(await rotated.listen(), await mintLink(twin, id))).status,
    200,
    'the same secret signs alike in every process'
  )
  await Promise.all([rotated.app.close(), twin.app.close()])
  const replaced = await openTestApp(t, next, server.folder)
  replaced.clock.now = server.clock.now
  t.equal((await ask(await replaced.listen(), link)).status, 403)
})
