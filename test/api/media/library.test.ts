import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildTestApp, expectProblem, openTestApp, removalsDone, type TestApp } from '../../support/test-app.js'
import { mintLink, signUp, signUpEverybody, upload, type Person } from '../../support/client.js'

interface Item {
  id: string
  title: string
  visibility: string
  file_url?: string
  updated_at: string
}
const unknown = '019377a4-3f00-7000-8000-000000000000'
const there = 'https://cdn.example.org/talk.mp4'

async function link (server: TestApp, person: Person, fields: Record<string, unknown> = {}) {
  return await server.inject({
    method: 'POST',
    url: '/media',
    headers: person.headers,
    payload: { title: 'A title', type: 'video', file_url: there, ...fields }
  })
}
const list = async (server: TestApp, person: Person, query = '') => {
  const reply = await server.inject({ url: `/media${query}`, headers: person.headers })
  return { ...reply.json<{ items: Item[]; total: number; page: number; size: number; pages: number }>(), reply }
}

t.test('media that live elsewhere', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)

  t.test('are taken by JSON, described and streamed by a redirect', async (t) => {
    const reply = await link(server, instructor, { title: ' Talk ', file_url: there })
    t.equal(reply.statusCode, 201, reply.body)
    const media = reply.json<Item>()
    t.equal(reply.headers.location, `/media/${media.id}`)
    t.match(media, {
      title: 'Talk',
      type: 'video',
      file_url: there,
      visibility: 'private',
      owner_id: instructor.id,
      status: 'ready',
      content_type: null,
      size_bytes: null,
      sha256: null,
      duration_seconds: null,
      codecs: []
    })
    const stream = await server.inject({ url: await mintLink(server, media.id, instructor) })
    t.equal(stream.statusCode, 302)
    t.equal(stream.headers.location, there)
    t.equal((await server.inject({ url: `/media/stream/${media.id}`, headers: instructor.headers })).statusCode, 302)
    t.equal((await server.inject({ url: `/media/stream/${media.id}` })).statusCode, 401)
    t.equal((await mintLink(server, media.id, instructor, '?expires_in=auto')).includes('exp='), true)
  })

  t.test('are never fetched', async (t) => {
    const other = await buildTestApp(t)
    let asked = 0
    other.app.server.on('connection', () => {
      asked++
    })
    t.equal((await link(server, instructor, { file_url: `${await other.listen()}/a.mp4` })).statusCode, 201)
    await sleep(200)
    t.equal(asked, 0)
  })

  const badAddresses = [
    'ftp://example.org/a',
    'file:///etc/passwd',
    'data:video/mp4,a',
    'https://user:secret@example.org/a',
    'https://user@example.org/a',
    ['javascript', 'alert(1)'].join(':'),
    '//example.org/a',
    '/media/a',
    'example.org',
    'https://',
    'http://exa mple.org',
    'https://example.org/\r\nset-cookie: a',
    `https://example.org/${'a'.repeat(2100)}`,
    '',
    ' ',
    null,
    5,
    [there]
  ]
  for (const address of badAddresses) {
    t.test(`refuse ${JSON.stringify(address)?.slice(0, 50)} as their address`, async (t) => {
      expectProblem(t, await link(server, instructor, { file_url: address }), 422, 'validation_failed', ['file_url'])
    })
  }
  const badFields: Array<[fields: Record<string, unknown>, path: string]> = [
    [{ title: undefined }, 'title'],
    [{ title: '' }, 'title'],
    [{ title: '  ' }, 'title'],
    [{ title: 5 }, 'title'],
    [{ title: 'x'.repeat(201) }, 'title'],
    [{ title: 'a\u0000' }, 'title'],
    [{ title: '\ud800' }, 'title'],
    [{ title: null }, 'title'],
    [{ type: undefined }, 'type'],
    [{ type: 'image' }, 'type'],
    [{ type: 1 }, 'type'],
    [{ visibility: 'secret' }, 'visibility'],
    [{ visibility: null }, 'visibility'],
    [{ owner_id: unknown }, 'owner_id'],
    [{ file_url: undefined }, 'file_url']
  ]
  t.test('refuse fields that are not valid', async (t) => {
    for (const [fields, path] of badFields) {
      expectProblem(t, await link(server, instructor, fields), 422, 'validation_failed', [path])
    }
    expectProblem(t, await link(server, student), 403, 'role_required')
    for (const payload of ['{"title":', '']) {
      expectProblem(
        t,
        await server.inject({
          method: 'POST',
          url: '/media',
          headers: { ...admin.headers, 'content-type': 'application/json' },
          payload
        }),
        400,
        'malformed_json'
      )
    }
    for (const payload of ['[]', 'null', '"text"', '5']) {
      t.equal(
        (
          await server.inject({
            method: 'POST',
            url: '/media',
            headers: { ...admin.headers, 'content-type': 'application/json' },
            payload
          })
        ).statusCode,
        422,
        payload
      )
    }
  })
})

t.test('the list', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor } = await signUpEverybody(server)
  const other = await signUp(server)
  const titles = ['100% sure', '100 percent', 'snake_case', 'snakeXcase', 'back\\slash', 'Äpfel', 'plain', 'Plain too']
  // All in one millisecond: the clock stands still.
  for (const title of titles) {
    t.equal(
      (await link(server, instructor, { title, type: title.startsWith('snake') ? 'audio' : 'video' })).statusCode,
      201
    )
  }
  t.equal((await link(server, other, { title: 'plain of another' })).statusCode, 201)

  t.test('shows own media, an administrator all, newest first and stable', async (t) => {
    const own = await list(server, instructor, '?size=100')
    t.same(
      own.items.map(({ title }) => title),
      titles.toReversed()
    )
    t.equal((await list(server, admin)).total, 9)
    t.same(
      (await list(server, other)).items.map(({ title }) => title),
      ['plain of another']
    )
    const paged = []
    for (let page = 1; page <= 4; page++) paged.push(...(await list(server, instructor, `?size=2&page=${page}`)).items)
    t.same(paged, own.items, 'no item twice, none left out')
    t.match(await list(server, instructor, '?size=3&page=3'), {
      total: 8,
      page: 3,
      size: 3,
      pages: 3,
      items: { length: 2 }
    })
    t.match(await list(server, instructor, '?page=9'), {
      total: 8,
      page: 9,
      items: { length: 0 },
      reply: { statusCode: 200 }
    })
  })

  const searches: Array<[q: string, found: string[]]> = [
    ['%', ['100% sure']],
    ['_', ['snake_case']],
    ['\\', ['back\\slash']],
    ['100', ['100 percent', '100% sure']],
    ['PLAIN', ['Plain too', 'plain']],
    ['Äpfel', ['Äpfel']],
    ['pfel', ['Äpfel']],
    ['nothing', []],
    ["'; drop table media; --", []],
    ['%25', []]
  ]
  for (const [q, found] of searches) {
    t.test(`finds ${q} as it is written (bug: on SQLite no title with Ä was found by its own name)`, async (t) => {
      t.same(
        (await list(server, instructor, `?q=${encodeURIComponent(q)}`)).items.map(({ title }) => title),
        found
      )
    })
  }

  t.test('filters by type and refuses what is out of range', async (t) => {
    t.equal((await list(server, instructor, '?type=audio')).total, 2)
    t.equal((await list(server, instructor, '?type=video&q=plain')).total, 2)
    t.equal((await list(server, instructor, '?unknown=1')).total, 8)
    for (const query of [
      'page=0',
      'page=-1',
      'page=1.5',
      'page=x',
      'page=9999999999999999999999',
      'size=0',
      'size=101',
      'size=',
      'type=image',
      'q=',
      'q=%00',
      'page=1&page=2'
    ]) {
      expectProblem(t, (await list(server, instructor, `?${query}`)).reply, 422, 'validation_failed', [
        query.split('=')[0]!
      ])
    }
    expectProblem(t, await server.inject({ url: '/media' }), 401, 'not_authenticated')
  })
})

t.test('who may do what', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)
  const other = await signUp(server)
  const ids = {
    public: (await upload(server, instructor, 'tiny.mp4', { visibility: 'public' })).json<Item>().id,
    private: (await upload(server, instructor)).json<Item>().id,
    unknown,
    malformed: 'not-an-id'
  }
  const calls: Array<[method: 'GET' | 'PATCH' | 'DELETE', path: string]> = [
    ['GET', ''],
    ['GET', '/stream-url'],
    ['PATCH', ''],
    ['DELETE', '/stream-url'],
    ['GET', '/views'],
    ['GET', '/analytics']
  ]
  // For reading and for changing: of public, private, unknown and malformed ids.
  const matrix: Array<[who: string, person: Person | undefined, reading: number[], changing: number[]]> = [
    ['the owner', instructor, [200, 200, 404, 404], [200, 200, 404, 404]],
    ['an administrator', admin, [200, 200, 404, 404], [200, 200, 404, 404]],
    ['another instructor', other, [200, 404, 404, 404], [403, 404, 404, 404]],
    ['a student', student, [200, 404, 404, 404], [403, 404, 404, 404]],
    ['nobody', undefined, [200, 401, 401, 401], [401, 401, 401, 401]]
  ]
  for (const [who, person, reading, changing] of matrix) {
    t.test(`${who} gets what the contract says`, async (t) => {
      for (const [method, path] of calls) {
        const expected =
          path === '/stream-url' && method === 'GET' ? reading : path === '' && method === 'GET' ? reading : changing
        for (const [index, [kind, id]] of Object.entries(ids).entries()) {
          const reply = await server.inject({
            method,
            url: `/media/${id}${path}`,
            headers: person?.headers,
            ...(method === 'PATCH' && { payload: { title: 'A title' } })
          })
          t.equal(reply.statusCode === 204 ? 200 : reply.statusCode, expected[index], `${method} ${kind}${path}`)
        }
      }
      if (person !== instructor && person !== admin) {
        t.not(
          (await server.inject({ method: 'DELETE', url: `/media/${ids.public}`, headers: person?.headers })).statusCode,
          204
        )
      }
    })
  }

  t.test('only owner and administrators see file_url', async (t) => {
    for (const [person, shown] of [
      [undefined, false],
      [student, false],
      [other, false],
      [instructor, true],
      [admin, true]
    ] as const) {
      const reply = await server.inject({ url: `/media/${ids.public}`, headers: person?.headers })
      t.equal('file_url' in reply.json<Item>(), shown)
    }
  })

  t.test('a change is checked, seen and dated', async (t) => {
    server.clock.advance(5000)
    const patch = async (payload: unknown, person = instructor) =>
      await server.inject({
        method: 'PATCH',
        url: `/media/${ids.private}`,
        headers: person.headers,
        payload: payload as object
      })
    const changed = await patch({ title: '  New  ', visibility: 'public' }, admin)
    t.match(changed.json(), {
      title: 'New',
      visibility: 'public',
      updated_at: new Date(server.clock.now).toISOString()
    })
    t.same((await server.inject({ url: `/media/${ids.private}`, headers: instructor.headers })).json(), changed.json())
    t.equal((await server.inject({ url: `/media/${ids.private}` })).statusCode, 200, 'public at once')
    for (const payload of [
      {},
      { title: '' },
      { title: null },
      { visibility: 'x' },
      { id: unknown },
      { type: 'audio' }
    ]) {
      expectProblem(t, await patch(payload), 422, 'validation_failed')
    }
  })

  t.test('a deleted media is gone with its file, views and figures', async (t) => {
    const { id } = (await upload(server, instructor)).json<Item>()
    const url = await mintLink(server, id, instructor)
    t.equal((await server.inject({ url })).statusCode, 200)
    const files = (await server.storedFiles()).length
    t.equal(
      (await server.inject({ method: 'DELETE', url: `/media/${id}`, headers: instructor.headers })).statusCode,
      204
    )
    await removalsDone(server)
    t.equal((await server.storedFiles()).length, files - 1)
    for (const table of ['views', 'view_totals', 'view_days', 'view_viewers']) {
      t.same(await server.query(`select * from ${table} where media_id = '${id}'`), [], table)
    }
    expectProblem(t, await server.inject({ url }), 404, 'not_found')
    for (const method of ['GET', 'DELETE'] as const) {
      expectProblem(
        t,
        await server.inject({ method, url: `/media/${id}`, headers: instructor.headers }),
        404,
        'not_found'
      )
    }
  })
})

t.test("two servers see each other's changes within a second", async (t) => {
  const one = await buildTestApp(t)
  const two = await openTestApp(t, one.env, one.folder)
  const instructor = (await signUpEverybody(one)).instructor
  const { id } = (await upload(one, instructor)).json<Item>()
  const seen = async () => await two.inject({ url: `/media/${id}`, headers: instructor.headers })
  t.equal((await seen()).json<Item>().visibility, 'private')
  const url = await mintLink(two, id, instructor)
  t.equal((await one.inject({ url })).statusCode, 200, 'a link of the one opens at the other')
  await one.inject({ method: 'PATCH', url: `/media/${id}`, headers: instructor.headers, payload: { title: 'New' } })
  two.clock.advance(1000)
  t.equal((await seen()).json<Item>().title, 'New')
  await one.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers: instructor.headers })
  two.clock.advance(1000)
  expectProblem(t, await two.inject({ url }), 403, 'stream_link_revoked')
  await one.inject({ method: 'DELETE', url: `/media/${id}`, headers: instructor.headers })
  two.clock.advance(1000)
  t.equal((await seen()).statusCode, 404)
})
