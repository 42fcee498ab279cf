import t, { type Test } from 'tap'
import { buildTestApp, expectProblem, type TestApp } from '../../support/test-app.js'
import { myLectures, newClass, subscribe } from '../../support/courses.js'
import { call, done, pathOf, signUp, signUpEverybody, succeeded, type Person } from '../../support/client.js'

async function reportAll (
  t: Test,
  server: TestApp,
  student: Person,
  lectureId: string,
  reports: Array<[position: number, watched: number]>
) {
  let last = {}
  for (const [position, watched] of reports) {
    const reply = await call(server, 'POST', `/lecture/${lectureId}/progress`, student, {
      position_seconds: position,
      watched_seconds: watched
    })
    t.equal(reply.statusCode, 200, reply.body)
    last = reply.json<object>()
  }
  return last
}

t.test('progress', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const { course, lectures, student } = await newClass(server, instructor, ['tiny.mp4', 'tiny.flac'])
  const [a, b] = lectures.map(({ id }) => id) as [string, string]
  const mine = async () =>
    await done<{ percent: number; lectures: unknown[] }>(
      server,
      'GET',
      `/subscribe/my-courses/${course.id}/progress`,
      student
    )
  const none = { position_seconds: 0, percent: 0, completed: false }
  t.same(await mine(), {
    percent: 0,
    lectures: [
      { lecture_id: a, ...none },
      { lecture_id: b, ...none }
    ]
  })

  t.same(await reportAll(t, server, student, a, [[1.5, 1.2]]), {
    lecture_id: a,
    position_seconds: 1.5,
    percent: 60,
    completed: false
  })
  t.same(
    await reportAll(t, server, student, a, [[0.5, 0.1]]),
    { lecture_id: a, position_seconds: 1.5, percent: 60, completed: false },
    'a late packet does no harm'
  )
  t.same(
    await reportAll(t, server, student, a, [[1.2, 1.799]]),
    { lecture_id: a, position_seconds: 1.5, percent: 90, completed: false },
    'a millisecond short of 90 %'
  )
  t.same(await reportAll(t, server, student, a, [[1.2, 1.8]]), {
    lecture_id: a,
    position_seconds: 1.5,
    percent: 90,
    completed: true
  })
  t.match(await mine(), {
    percent: 45,
    lectures: [
      { lecture_id: a, completed: true },
      { lecture_id: b, ...none }
    ]
  })
  t.same(
    await reportAll(t, server, student, b, [[5000, 5000]]),
    { lecture_id: b, position_seconds: 2, percent: 100, completed: true },
    'no more than its length'
  )
  t.equal((await mine()).percent, 95)
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => await reportAll(t, server, student, a, [[index / 10, index / 10]]))
  )
  t.match(
    await mine(),
    { percent: 97.5, lectures: [{ position_seconds: 1.9, percent: 95 }, {}] },
    'the largest of twenty at once'
  )

  for (const [body, field] of [
    [{ position_seconds: -1, watched_seconds: 1 }, 'position_seconds'],
    [{ position_seconds: 1, watched_seconds: '1' }, 'watched_seconds'],
    [{ position_seconds: 1e300, watched_seconds: 1 }, 'position_seconds'],
    [{ position_seconds: 1 }, 'watched_seconds'],
    [{ position_seconds: 1, watched_seconds: 1, completed: true }, 'completed']
  ] as const) {
    expectProblem(t, await call(server, 'POST', `/lecture/${a}/progress`, student, body), 422, 'validation_failed', [
      field
    ])
  }
})

t.test('a report on a lecture that is deleted in that moment is a 404, never a 500', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  for (let round = 0; round < 5; round++) {
    const { lecture, student } = await newClass(server, instructor, ['tiny.ogg'])
    const report = async () =>
      (
        await call(server, 'POST', `/lecture/${lecture.id}/progress`, student, {
          position_seconds: 1,
          watched_seconds: 1
        })
      ).statusCode
    const [deleted, ...statuses] = await Promise.all([
      call(server, 'DELETE', `/lecture/${lecture.id}`, instructor),
      ...Array.from({ length: 30 }, report)
    ])
    t.equal(deleted.statusCode, 204)
    for (const status of statuses) t.ok([200, 404].includes(status), String(status))
  }
})

t.test('the figures of a course', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const { course, lectures, student: first } = await newClass(server, instructor, ['tiny.mp4', 'tiny.flac', 'tiny.wav'])
  const [a, b, c] = lectures.map(({ id }) => id) as [string, string, string]
  const figures = async () =>
    await done<{ drop_off_lecture_id: string | null; lectures: unknown[] }>(
      server,
      'GET',
      `/course/${course.id}/analytics`,
      instructor
    )
  const quiet = { title: 'Sorting', views: 0, unique_viewers: 0, started: 0, completed: 0 }
  t.same(await figures(), {
    course_id: course.id,
    subscribers: 1,
    lectures: [a, b, c].map((id) => ({ lecture_id: id, ...quiet })),
    drop_off_lecture_id: null
  })

  const [second, third] = [await signUp(server, 'student'), await signUp(server, 'student')]
  for (const student of [second, third]) succeeded(await subscribe(server, student, course.id))
  for (const { url } of await myLectures(server, first, course.id)) {
    t.equal((await server.inject({ url: pathOf(url) })).statusCode, 200)
  }
  const own = (await myLectures(server, second, course.id))[0]!.url
  t.equal((await server.inject({ url: pathOf(own), remoteAddress: '10.0.0.9' })).statusCode, 200)
  // The first finishes everything; the second stops in the middle one, the third as well, having left the first
  // unfinished.
  for (const id of [a, b, c]) await reportAll(t, server, first, id, [[2, 2]])
  await reportAll(t, server, second, a, [[2, 2]])
  for (const student of [second, third]) await reportAll(t, server, student, b, [[1, 0.5]])
  await reportAll(t, server, third, a, [[1, 1]])
  t.same(await figures(), {
    course_id: course.id,
    subscribers: 3,
    lectures: [
      { lecture_id: a, title: 'Sorting', views: 2, unique_viewers: 2, started: 3, completed: 2 },
      { lecture_id: b, title: 'Sorting', views: 1, unique_viewers: 1, started: 3, completed: 1 },
      { lecture_id: c, title: 'Sorting', views: 1, unique_viewers: 1, started: 1, completed: 1 }
    ],
    drop_off_lecture_id: b
  })
  for (const student of [second, third]) await call(server, 'DELETE', `/subscribe/${course.id}`, student)
  t.match(
    await figures(),
    { subscribers: 1, lectures: [{ views: 2, started: 1 }, { started: 1 }, { started: 1 }], drop_off_lecture_id: null },
    'those who left count no more, their views do'
  )
})

t.test('a lecture of unknown or zero length is never completed (bug: a report of 0 of 0 completed it)', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const { lectures, student } = await newClass(server, instructor, ['tiny.mp4', 'tiny.flac'])
  for (const [index, durationMs] of ['0', 'null'].entries()) {
    const { id, asset_id: mediaId } = lectures[index]!
    await server.query(`update media set duration_ms = ${durationMs} where id = '${mediaId}'`)
    const reported = await reportAll(t, server, student, id, [
      [0, 0],
      [5, 5]
    ])
    t.match(reported, { percent: 0, completed: false }, `${durationMs} ms`)
  }
})
