import t from 'tap'
import { buildTestApp, engine, expectProblem, removalsDone, type TestApp } from '../../support/test-app.js'
import {
  courseText,
  findCourse,
  kept,
  myLectures,
  newCourse,
  newLecture,
  subscribe,
  unknown,
  type Course,
  type Page
} from '../../support/courses.js'
import { call, done, mintLink, signUp, signUpEverybody, succeeded } from '../../support/client.js'

t.test('courses', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)
  const other = await signUp(server)

  t.test('are made, trimmed, and found by everyone', async (t) => {
    const reply = await call(server, 'POST', '/course', instructor, {
      title: '  Introduction  ',
      description: '\n Why it matters. \t'
    })
    t.equal(reply.statusCode, 201, reply.body)
    const course = reply.json<Course>()
    const now = new Date(server.clock.now).toISOString()
    t.same(course, {
      id: course.id,
      title: 'Introduction',
      description: 'Why it matters.',
      duration: 0,
      lectures_count: 0,
      premium: false,
      instructor_id: instructor.id,
      created_at: now,
      updated_at: now
    })
    t.equal(reply.headers.location, `/course/${course.id}`)
    t.same(await findCourse(server, course.id), course)
    t.equal((await newCourse(server, admin, { premium: true })).premium, true)
  })

  t.test('an id may be written in capitals, on every route and both engines', async (t) => {
    const course = await newCourse(server, instructor)
    const id = course.id.toUpperCase()
    const lecture = await newLecture(server, instructor, id)
    t.equal(lecture.course_id, course.id)
    t.equal((await findCourse(server, id)).id, course.id)
    t.same(
      (await done<{ course_id: string }>(server, 'POST', '/subscribe', student, { course_id: id })).course_id,
      course.id
    )
    t.equal((await myLectures(server, student, id)).length, 1)
    await done(server, 'PUT', `/course/${id}/lectures/order`, instructor, { lecture_ids: [lecture.id.toUpperCase()] })
    t.equal((await call(server, 'DELETE', `/lecture/${lecture.id.toUpperCase()}`, instructor)).statusCode, 204)
    t.equal((await call(server, 'DELETE', `/subscribe/${id}`, student)).statusCode, 204)
  })

  t.test('blank, long and odd fields are refused by name', async (t) => {
    const { id } = await newCourse(server, instructor)
    const cases: Array<[change: object, field: string]> = [
      [{ title: '' }, 'title'],
      [{ title: '  \t ' }, 'title'],
      [{ title: 'x'.repeat(201) }, 'title'],
      [{ title: 5 }, 'title'],
      [{ title: null }, 'title'],
      [{ title: 'a\u0000b' }, 'title'],
      [{ title: '\ud800' }, 'title'],
      [{ description: '' }, 'description'],
      [{ description: ' \n ' }, 'description'],
      [{ description: 'x'.repeat(1001) }, 'description'],
      [{ description: 'a\u0000b' }, 'description'],
      [{ premium: 'yes' }, 'premium'],
      [{ instructor_id: other.id }, 'instructor_id'],
      [{ duration: 5 }, 'duration']
    ]
    for (const [change, field] of cases) {
      expectProblem(
        t,
        await call(server, 'POST', '/course', instructor, { ...courseText, ...change }),
        422,
        'validation_failed',
        [field]
      )
      expectProblem(t, await call(server, 'PATCH', `/course/${id}`, instructor, change), 422, 'validation_failed', [
        field
      ])
    }
    expectProblem(t, await call(server, 'POST', '/course', instructor, {}), 422, 'validation_failed', [
      'title',
      'description'
    ])
    expectProblem(t, await call(server, 'PATCH', `/course/${id}`, instructor, {}), 422, 'validation_failed')
    t.equal(
      (await call(server, 'POST', '/course', instructor, { title: 'é'.repeat(200), description: '語'.repeat(1000) }))
        .statusCode,
      201,
      'the longest'
    )
    const malformed = {
      method: 'POST',
      url: '/course',
      headers: { ...instructor.headers, 'content-type': 'application/json' },
      payload: '{"title":'
    } as const
    expectProblem(t, await server.inject(malformed), 400, 'malformed_json')
    expectProblem(
      t,
      await server.inject({ ...malformed, headers: { ...instructor.headers, 'content-type': 'text/plain' } }),
      415,
      'unsupported_content_type'
    )
  })

  t.test('are changed only by their owner and administrators', async (t) => {
    const course = await newCourse(server, instructor)
    server.clock.advance(5000)
    const changed = await done<Course>(server, 'PATCH', `/course/${course.id}`, instructor, {
      title: ' New ',
      premium: true
    })
    t.same(changed, { ...course, title: 'New', premium: true, updated_at: new Date(server.clock.now).toISOString() })
    t.same(await findCourse(server, course.id), changed)
    t.equal((await done<Course>(server, 'PATCH', `/course/${course.id}`, admin, { premium: false })).premium, false)
    for (const method of ['PATCH', 'DELETE'] as const) {
      const payload = method === 'PATCH' ? { title: 'Mine' } : undefined
      expectProblem(t, await call(server, method, `/course/${course.id}`, other, payload), 403, 'not_owner')
      expectProblem(t, await call(server, method, `/course/${course.id}`, student, payload), 403, 'role_required')
      for (const id of [unknown, 'nonsense']) {
        expectProblem(t, await call(server, method, `/course/${id}`, instructor, payload), 404, 'not_found')
      }
    }
    for (const id of [unknown, 'nonsense', 'urn:uuid:' + course.id]) {
      expectProblem(t, await call(server, 'GET', `/course/${id}`), 404, 'not_found')
    }
    t.same(await findCourse(server, course.id), { ...changed, premium: false }, 'nothing of that changed it')
  })

  t.test('the public list names the instructor and no email', async (t) => {
    const reply = await call(server, 'GET', '/course/all?size=100')
    for (const item of reply.json<Page<Course & { instructor: object }>>().items) {
      t.same(item.instructor, { first_name: 'Test', last_name: 'Person' })
    }
    t.notMatch(reply.body, /@|email|mobile|birth/)
    t.same((await call(server, 'GET', '/api/v1/course/all/?size=100')).json(), reply.json())
    for (const query of ['page=0', 'size=101', 'page=x']) {
      expectProblem(t, await call(server, 'GET', `/course/all?${query}`), 422, 'validation_failed', [
        query.split('=')[0]!
      ])
    }
    const { total } = await done<Page<Course>>(server, 'GET', '/course/all')
    t.match(
      await done(server, 'GET', '/course/all?page=1000&unknown=1'),
      { items: [], page: 1000, total },
      'a page behind the last one says how many there are too'
    )
  })

  t.test('a deleted course takes lectures, media, files, progress and subscriptions along', async (t) => {
    const course = await newCourse(server, instructor)
    const before = await kept(server)
    const lectures = [
      await newLecture(server, instructor, course.id),
      await newLecture(server, admin, course.id, { file: 'tiny.ogg' })
    ]
    succeeded(await subscribe(server, student, course.id))
    await done(server, 'POST', `/lecture/${lectures[0]!.id}/progress`, student, {
      position_seconds: 1,
      watched_seconds: 1
    })
    const link = await mintLink(server, lectures[0]!.asset_id, student)
    t.equal((await server.inject({ url: link })).statusCode, 200, 'a view is counted')
    t.equal((await call(server, 'DELETE', `/course/${course.id}`, instructor)).statusCode, 204)
    await removalsDone(server)
    t.same(await kept(server), before)
    for (const table of ['lectures', 'subscriptions']) {
      t.same(await server.query(`select id from ${table} where course_id = '${course.id}'`), [], table)
    }
    t.same(await server.query('select * from lecture_progress'), [])
    for (const table of ['views', 'view_totals']) {
      t.same(await server.query(`select * from ${table} where media_id = '${lectures[0]!.asset_id}'`), [], table)
    }
    expectProblem(t, await server.inject({ url: link }), 404, 'not_found')
    expectProblem(t, await call(server, 'DELETE', `/course/${course.id}`, instructor), 404, 'not_found')
    expectProblem(t, await call(server, 'DELETE', `/lecture/${lectures[0]!.id}`, instructor), 404, 'not_found')
    t.notOk(
      (await done<Page<Course>>(server, 'GET', '/subscribe/my-courses', student)).items.some(
        ({ id }) => id === course.id
      )
    )
  })
})

/** A thousand courses of one millisecond, half of them in the order of their ids and half in none. */
async function insertThousand (server: TestApp, ownerId: string): Promise<void> {
  const id = (index: number) =>
    `${index % 2 === 0 ? '019377a4' : '029377a4'}-3f00-7000-8000-${String((index * 7919) % 1000).padStart(12, '0')}`
  const values = Array.from(
    { length: 1000 },
    (_, index) => `('${id(index)}', '${ownerId}', 'Course ${index}', 'Text', 0, 0, 0, 1700000000000, 1700000000000)`
  )
  await server.query(
    'insert into courses (id, owner_id, title, description, premium, duration_ms, lectures_count, created_at, ' +
      `updated_at) values ${values.join(',')}`
  )
  await server.query(
    `insert into counters (name, value) values ('courses', 1000), ('courses:${ownerId}', 1000) on conflict (name) ` +
      'do update set value = 1000'
  )
}

t.test(`paging through 1,000 courses of one millisecond shows each once on ${engine}`, async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await insertThousand(server, instructor.id)
  for (const [url, size] of [
    ['/course/all', 100],
    ['/course/all', 7],
    ['/course/mine', 100]
  ] as const) {
    const seen: string[] = []
    let pages = 1
    for (let page = 1; page <= pages; page++) {
      const reply = await done<Page<Course>>(server, 'GET', `${url}?page=${page}&size=${size}`, instructor)
      t.equal(reply.total, 1000)
      pages = reply.pages
      seen.push(...reply.items.map(({ id }) => id))
    }
    t.equal(pages, Math.ceil(1000 / size))
    t.equal(seen.length, 1000)
    t.equal(new Set(seen).size, 1000, 'each once')
    t.same(seen, [...seen].sort().reverse(), 'the newest id first')
  }
})

t.test('courses made at once by many requests in a frozen millisecond are all there, once', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const made = await Promise.all(
    Array.from(
      { length: 60 },
      async (_, index) => (await newCourse(server, instructor, { title: `Course ${index}` })).id
    )
  )
  const pages = await Promise.all(
    [1, 2, 3, 4].map((page) => done<Page<Course>>(server, 'GET', `/course/mine?page=${page}&size=17`, instructor))
  )
  t.same(pages.flatMap(({ items }) => items.map(({ id }) => id)).sort(), made.sort())
})
