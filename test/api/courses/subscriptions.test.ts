import t from 'tap'
import { buildTestApp, expectProblem, openTestApp, type TestApp } from '../../support/test-app.js'
import {
  addLecture,
  courseText,
  myLectures,
  newClass,
  newCourse,
  subscribe,
  unknown,
  type Class,
  type Course,
  type Lecture,
  type Page
} from '../../support/courses.js'
import { fixture } from '../../support/fixtures.js'
import { call, done, mintLink, pathOf, signUp, signUpEverybody, succeeded, type Person } from '../../support/client.js'
import { ask } from '../../support/raw-http.js'

const NOT_SUBSCRIBED = 'Access denied. You are not subscribed to this course.'

t.test('subscriptions', async (t) => {
  const server = await buildTestApp(t)
  const { instructor, student } = await signUpEverybody(server)

  t.test('are made once, ended once, and made again', async (t) => {
    const { id } = await newCourse(server, instructor)
    for (let round = 0; round < 2; round++) {
      const reply = await subscribe(server, student, id)
      t.equal(reply.statusCode, 201, reply.body)
      const subscription = reply.json<{ id: string; created_at: string }>()
      t.same(subscription, {
        id: subscription.id,
        student_id: student.id,
        course_id: id,
        created_at: new Date(server.clock.now).toISOString()
      })
      expectProblem(t, await subscribe(server, student, id), 409, 'already_subscribed')
      const left = await call(server, 'DELETE', `/subscribe/${id}`, student)
      t.equal(left.statusCode, 204)
      t.equal(left.body, '')
      expectProblem(t, await call(server, 'DELETE', `/subscribe/${id}`, student), 404, 'not_found')
    }
  })

  t.test('of an unknown course are a 404, of bad bodies a 422', async (t) => {
    expectProblem(t, await subscribe(server, student, unknown), 404, 'not_found')
    for (const what of ['', '/lectures', '/progress']) {
      for (const id of [unknown, 'nonsense']) {
        expectProblem(
          t,
          await call(
            server,
            what === '' ? 'DELETE' : 'GET',
            what === '' ? `/subscribe/${id}` : `/subscribe/my-courses/${id}${what}`,
            student
          ),
          404,
          'not_found'
        )
      }
    }
    for (const body of [{}, { course_id: 5 }, { course_id: null }]) {
      expectProblem(t, await call(server, 'POST', '/subscribe', student, body), 422, 'validation_failed', ['course_id'])
    }
    expectProblem(t, await call(server, 'POST', '/subscribe', student, { course_id: 'nonsense' }), 404, 'not_found')
    expectProblem(
      t,
      await call(server, 'POST', '/subscribe', student, { course_id: unknown, student_id: student.id }),
      422,
      'validation_failed',
      ['student_id']
    )
  })

  t.test('of twenty at once one is made, on one row', async (t) => {
    const { id } = await newCourse(server, instructor)
    const statuses = (await Promise.all(Array.from({ length: 20 }, () => subscribe(server, student, id)))).map(
      ({ statusCode }) => statusCode
    )
    t.same(statuses.sort(), [201, ...Array(19).fill(409)])
    t.equal((await server.query(`select id from subscriptions where course_id = '${id}'`)).length, 1)
    const ends = (
      await Promise.all(Array.from({ length: 5 }, () => call(server, 'DELETE', `/subscribe/${id}`, student)))
    ).map(({ statusCode }) => statusCode)
    t.same(ends.sort(), [204, 404, 404, 404, 404])
  })

  t.test('my courses are those one is subscribed to, as the public list shows them', async (t) => {
    const mine = await signUp(server, 'student')
    const ids = []
    for (let i = 0; i < 3; i++) ids.push((await newCourse(server, instructor)).id)
    for (const id of ids.slice(0, 2)) await subscribe(server, mine, id)
    const page = await done<Page<Course>>(server, 'GET', '/subscribe/my-courses?size=1', mine)
    t.match(page, {
      total: 2,
      page: 1,
      size: 1,
      pages: 2,
      items: [{ ...courseText, instructor: { first_name: 'Test', last_name: 'Person' } }]
    })
    const all = await call(server, 'GET', '/subscribe/my-courses', mine)
    t.same(
      all
        .json<Page<Course>>()
        .items.map(({ id }) => id)
        .sort(),
      ids.slice(0, 2).sort()
    )
    t.notMatch(all.body, /@|email/)
    await call(server, 'DELETE', `/subscribe/${ids[0]!}`, mine)
    t.equal((await done<Page<Course>>(server, 'GET', '/subscribe/my-courses', mine)).total, 1)
  })

  t.test('show the lectures in order, each with a fresh url that streams for this student', async (t) => {
    const { course, lectures, student } = await newClass(server, instructor, ['tiny.mp4', 'tiny.ogg'])
    const [first, second] = [await myLectures(server, student, course.id), await myLectures(server, student, course.id)]
    t.same(
      first.map(({ id }) => id),
      lectures.map(({ id }) => id)
    )
    for (const [index, { url }] of first.entries()) {
      t.not(url, second[index]!.url, 'minted each time')
      t.not(url, lectures[index]!.url)
      t.match(url, `sub=${student.id}`)
      t.ok(
        (await server.inject({ url: pathOf(url) })).rawPayload.equals(await fixture(['tiny.mp4', 'tiny.ogg'][index]!))
      )
    }
    t.same(await server.query("select id from lectures where description like '%sig=%' or title like '%sig=%'"), [])
    const exp = Number(new URL(first[0]!.url).searchParams.get('exp'))
    t.ok(Math.abs(exp - server.clock.now / 1000 - 603) <= 1, 'one sitting: 1.5 × 2 s + 600 s')
    await server.inject({ url: `/media/${lectures[0]!.asset_id}`, headers: student.headers }).then((reply) => {
      t.equal(reply.statusCode, 200)
      t.notOk('file_url' in reply.json<object>(), 'whose file it is is not theirs to know')
    })
    for (const method of ['PATCH', 'DELETE'] as const) {
      expectProblem(
        t,
        await call(
          server,
          method,
          `/media/${lectures[0]!.asset_id}`,
          student,
          method === 'PATCH' ? { title: 'Mine' } : undefined
        ),
        403,
        'not_owner'
      )
    }
  })

  t.test('without one nothing of a course is seen', async (t) => {
    const { course, lecture } = await newClass(server, instructor)
    const outsider = await signUp(server, 'student')
    for (const what of ['lectures', 'progress']) {
      const reply = await call(server, 'GET', `/subscribe/my-courses/${course.id}/${what}`, outsider)
      expectProblem(t, reply, 403, 'not_subscribed')
      t.equal(reply.json<{ detail: string }>().detail, NOT_SUBSCRIBED)
    }
    expectProblem(
      t,
      await call(server, 'POST', `/lecture/${lecture.id}/progress`, outsider, {
        position_seconds: 1,
        watched_seconds: 1
      }),
      403,
      'not_subscribed'
    )
    for (const url of [
      `/media/${lecture.asset_id}`,
      `/media/${lecture.asset_id}/stream-url`,
      `/media/stream/${lecture.asset_id}`
    ]) {
      expectProblem(t, await call(server, 'GET', url, outsider), 404, 'not_found')
    }
    expectProblem(t, await call(server, 'POST', `/media/${lecture.asset_id}/view`, outsider), 404, 'not_found')
    expectProblem(t, await call(server, 'GET', `/media/${lecture.asset_id}`), 401, 'not_authenticated')
    succeeded(await subscribe(server, outsider, course.id))
    t.equal(
      (await call(server, 'GET', `/media/${lecture.asset_id}`, outsider)).statusCode,
      200,
      'at once, although it was refused a moment ago'
    )
  })

  t.test('cover what is added later', async (t) => {
    const { course, student } = await newClass(server, instructor)
    const added = (await addLecture(server, instructor, course.id, { file: 'tiny.ogg' })).json<Lecture>()
    t.equal((await myLectures(server, student, course.id)).length, 2)
    t.ok(await mintLink(server, added.asset_id, student))
  })
})

const endings: Array<
  [name: string, code: string, status: number, end: (server: TestApp, owner: Person, scene: Class) => Promise<unknown>]
> = [
  [
    'a student leaves',
    'stream_link_revoked',
    403,
    async (server, _owner, { student, course }) =>
      succeeded(await call(server, 'DELETE', `/subscribe/${course.id}`, student))
  ],
  [
    'the lecture is deleted',
    'not_found',
    404,
    async (server, owner, { lecture }) => succeeded(await call(server, 'DELETE', `/lecture/${lecture.id}`, owner))
  ],
  [
    'the course is deleted',
    'not_found',
    404,
    async (server, owner, { course }) => succeeded(await call(server, 'DELETE', `/course/${course.id}`, owner))
  ],
  [
    'the student is disabled',
    'stream_link_revoked',
    403,
    async (server, _owner, { student }) =>
      await server.query(`update accounts set disabled = 1 where id = '${student.id}'`)
  ]
]

t.test('an old link ends within a second, here and on another process', async (t) => {
  const one = await buildTestApp(t)
  const two = await openTestApp(t, one.env, one.folder)
  const { instructor } = await signUpEverybody(one)
  for (const [name, code, status, end] of endings) {
    t.test(`when ${name}`, async (t) => {
      const scene = await newClass(one, instructor)
      const link = pathOf((await myLectures(one, scene.student, scene.course.id))[0]!.url)
      const origins = await Promise.all([one, two].map((server) => server.listen()))
      const look = async () =>
        await Promise.all(
          origins.map(async (origin) => await ask(origin, link, { headers: { range: 'bytes=100-199' } }))
        )
      for (const reply of await look()) t.equal(reply.status, 206)
      await end(one, instructor, scene)
      if (name !== 'the student is disabled') {
        t.equal((await ask(origins[0]!, link)).status, status, 'at once where it was done')
      }
      for (const { clock } of [one, two]) clock.advance(1000)
      for (const { status: seen, body } of await look()) {
        t.equal(seen, status)
        t.equal((JSON.parse(body.toString()) as { code: string }).code, code)
      }
      if (status === 403) {
        for (const server of [one, two]) {
          t.not(
            (await call(server, 'GET', `/media/${scene.lecture.asset_id}/stream-url`, scene.student)).statusCode,
            200
          )
        }
      }
    })
  }
})
