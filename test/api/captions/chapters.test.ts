import t from 'tap'
import { buildTestApp, expectProblem, openTestApp } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'

t.test('chapters of a media', async (t) => {
  const server = await buildTestApp(t)
  const { instructor: owner } = await signUpEverybody(server)
  const { headers } = owner
  const media = (await upload(server, owner)).json<{ id: string; duration_seconds: number }>()
  const { id, duration_seconds: duration } = media
  const url = `/media/${id}/chapters`
  const put = (payload: object) => server.inject({ method: 'PUT', url, headers, payload })
  const link = await mintLink(server, id, owner)
  const fileUrl = `${url}.vtt${link.slice(link.indexOf('?'))}`

  t.test('are stored, replaced, read and deleted', async (t) => {
    t.same((await server.inject({ url, headers })).json(), [])
    expectProblem(t, await server.inject({ url: fileUrl }), 404, 'not_found')
    const stored = await put([
      { start_seconds: 0, title: '  Cafe\u0301 <b>' },
      { start_seconds: 0.5, title: 'Two' }
    ])
    t.same(stored.json(), [
      { start_seconds: 0, title: 'Café <b>' },
      { start_seconds: 0.5, title: 'Two' }
    ])
    t.same((await server.inject({ url, headers })).json(), stored.json())
    const file = await server.inject({ url: fileUrl })
    t.match(file.headers, { 'content-type': 'text/vtt; charset=utf-8', 'access-control-allow-origin': '*' })
    t.match(file.body, /^WEBVTT\n\n00:00:00\.000 --> 00:00:00\.500\nCafé &lt;b&gt;\n\n00:00:00\.500 --> .*\nTwo\n$/)
    t.same((await put([{ start_seconds: 0, title: 'One' }])).json(), [{ start_seconds: 0, title: 'One' }])
    t.equal((await server.inject({ method: 'DELETE', url, headers })).statusCode, 204)
    expectProblem(t, await server.inject({ method: 'DELETE', url, headers }), 404, 'not_found')
  })

  t.test('that are not valid are refused by field', async (t) => {
    const one = { start_seconds: 0, title: 'One' }
    const bad: Array<[object, string]> = [
      [[], ''],
      [{ ...one }, ''],
      [[one, one], '1.start_seconds'],
      [[{ ...one, start_seconds: -1 }], '0.start_seconds'],
      [[{ ...one, start_seconds: '0' }], '0.start_seconds'],
      [[{ ...one, start_seconds: duration }], '0.start_seconds'],
      [[{ ...one, title: ' ' }], '0.title'],
      [[{ ...one, end: 1 }], '0.end'],
      [[{ title: 'One' }], '0.start_seconds'],
      [Array.from({ length: 501 }, (_, at) => ({ start_seconds: at / 1000, title: 'x' })), '']
    ]
    for (const [body, path] of bad) expectProblem(t, await put(body), 422, 'validation_failed', [path])
    t.same((await server.inject({ url, headers })).json(), [])
  })

  t.test('are refused within a second on every process after a revocation', async (t) => {
    const twin = await openTestApp(t, server.env, server.folder)
    await put([{ start_seconds: 0, title: 'One' }])
    t.equal((await twin.inject({ url: fileUrl })).statusCode, 200)
    await server.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers })
    twin.clock.advance(1000)
    for (const process of [server, twin]) {
      expectProblem(t, await process.inject({ url: fileUrl }), 403, 'stream_link_revoked')
    }
  })
})
