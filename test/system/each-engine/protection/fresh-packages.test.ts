import t, { type Test } from 'tap'
import { buildTestApp, openTestApp, type TestApp } from '../../../support/test-app.js'
import { mintLink, pathOf, signUp, upload, type Person } from '../../../support/client.js'
import { protectedMedia, settled } from '../../../support/protected-server.js'

/** A second server, whose cache holds what it has read once until a refusal makes it read again. */
const openFrozen = (t: Test, { env, folder }: TestApp) =>
  openTestApp(t, env, folder, { clock: { monotonicNow: () => 1 } })

async function protect (server: TestApp, id: string, person: Person, protection: 'none' | 'encrypted'): Promise<void> {
  const change = { method: 'PATCH' as const, url: `/media/${id}`, headers: person.headers, payload: { protection } }
  const reply = await server.inject(change)
  if (reply.statusCode !== 200) throw new Error(reply.body)
  await settled(server, id, person)
}

async function playlistOf (server: TestApp, id: string, person: Person): Promise<string> {
  const reply = await server.inject({ url: `/media/${id}/stream-url`, headers: person.headers })
  return pathOf(reply.json<{ stream_url: string }>().stream_url)
}

const get = async (server: TestApp, playlist: string, file: string) =>
  await server.inject({ url: playlist.replace('master.m3u8', file) })

t.test('a media that was plain a moment ago plays on every process (bug: 404 from the cached record)', async (t) => {
  const a = await buildTestApp(t)
  const b = await openFrozen(t, a)
  await a.listen()
  const person = await signUp(a)
  const { id } = (await upload(a, person)).json<{ id: string }>()
  for (const file of ['master.m3u8', 'media.m3u8', 'content.key', 'segment-0.ts']) {
    await protect(a, id, person, 'none')
    const plain = await b.inject({ url: await mintLink(a, id, person), headers: { range: 'bytes=0-0' } })
    t.equal(plain.statusCode, 206, 'the second server knows the plain media')
    await protect(a, id, person, 'encrypted')
    t.equal((await get(b, await playlistOf(a, id, person), file)).statusCode, 200, file)
  }
})

t.test('a media that was packaged again plays with its new key on every process (bug: the old key)', async (t) => {
  const a = await buildTestApp(t)
  const b = await openFrozen(t, a)
  const person = await signUp(a)
  const id = await protectedMedia(a, person)
  const old = await get(b, await playlistOf(a, id, person), 'content.key')
  for (const file of ['segment-0.ts', 'content.key', 'master.m3u8', 'media.m3u8']) {
    await protect(a, id, person, 'none')
    await protect(a, id, person, 'encrypted')
    const playlist = await playlistOf(a, id, person)
    const [known, found] = [await get(a, playlist, file), await get(b, playlist, file)]
    t.equal(found.statusCode, 200, file)
    t.ok(found.rawPayload.equals(known.rawPayload), `${file} is the same on both`)
    if (file === 'content.key') t.notOk(found.rawPayload.equals(old.rawPayload), 'and another one than before')
  }
})
