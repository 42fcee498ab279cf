import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { newClass } from '../../support/courses.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'

t.test(
  'an id in capitals is the same id, on every route and both engines (bug: PATCH /users was 404 on SQLite)',
  async (t) => {
    const server = await buildTestApp(t)
    const { admin, instructor } = await signUpEverybody(server)
    const { id } = (await upload(server, instructor)).json<{ id: string }>()
    const { course, lecture, student } = await newClass(server, instructor)
    const big = (text: string) => text.toUpperCase()
    for (const [method, url, person, payload] of [
      ['GET', `/users/${big(instructor.id)}`, admin, undefined],
      ['PATCH', `/users/${big(instructor.id)}`, admin, { disabled: false }],
      ['GET', `/media/${big(id)}`, instructor, undefined],
      ['PATCH', `/media/${big(id)}`, instructor, { title: 'Another' }],
      ['GET', `/media/${big(id)}/stream-url`, instructor, undefined],
      ['GET', `/media/${big(id)}/views`, instructor, undefined],
      ['GET', `/media/${big(id)}/analytics`, instructor, undefined],
      ['POST', `/media/${big(id)}/view`, instructor, undefined],
      ['GET', `/media/stream/${big(id)}`, instructor, undefined],
      ['GET', `/course/${big(course.id)}`, undefined, undefined],
      ['PATCH', `/course/${big(course.id)}`, instructor, { title: 'Another' }],
      ['GET', `/course/${big(course.id)}/lectures`, instructor, undefined],
      ['GET', `/course/${big(course.id)}/analytics`, instructor, undefined],
      ['PUT', `/course/${big(course.id)}/lectures/order`, instructor, { lecture_ids: [big(lecture.id)] }],
      ['PATCH', `/lecture/${big(lecture.id)}`, instructor, { title: 'Another' }],
      ['POST', `/lecture/${big(lecture.id)}/progress`, student, { position_seconds: 1, watched_seconds: 1 }],
      ['GET', `/subscribe/my-courses/${big(course.id)}/lectures`, student, undefined],
      ['GET', `/subscribe/my-courses/${big(course.id)}/progress`, student, undefined],
      ['DELETE', `/subscribe/${big(course.id)}`, student, undefined],
      ['POST', '/subscribe', student, { course_id: big(course.id) }],
      ['DELETE', `/media/${big(id)}/stream-url`, instructor, undefined],
      ['DELETE', `/lecture/${big(lecture.id)}`, instructor, undefined],
      ['DELETE', `/media/${big(id)}`, instructor, undefined],
      ['DELETE', `/course/${big(course.id)}`, instructor, undefined]
    ] as const) {
      const reply = await server.inject({
        method,
        url,
        headers: person?.headers,
        ...(payload !== undefined && { payload })
      })
      t.ok(reply.statusCode < 300, `${method} ${url}: ${reply.statusCode} ${reply.body.slice(0, 100)}`)
    }
  }
)

t.test('an earlier link is continued no longer than the log is kept (bug: its view was counted again)', async (t) => {
  const DAY = 86_400_000
  const server = await buildTestApp(t, { VIEW_RETENTION_DAYS: '3' })
  const { admin } = await signUpEverybody(server)
  const { id } = (await upload(server, admin)).json<{ id: string }>()
  const idOf = (link: string) => new URLSearchParams(link.split('?')[1]).get('lid')
  const next = (link: string) =>
    mintLink(server, id, admin, `?continues=${encodeURIComponent(`http://127.0.0.1${link}`)}`)
  let link = await mintLink(server, id, admin)
  const first = idOf(link)
  for (let day = 0; day < 2; day++) {
    server.clock.advance(DAY)
    // A session of 30 minutes is over by then.
    const login = await server.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { email: admin.email, password: 'secure_password123' }
    })
    admin.headers.authorization = `Bearer ${login.json<{ token: string }>().token}`
    link = await next(link)
    t.equal(idOf(link), first, `day ${day + 1}`)
  }
  server.clock.advance(DAY - 60_000)
  const login = await server.inject({
    method: 'POST',
    url: '/auth/login',
    payload: { email: admin.email, password: 'secure_password123' }
  })
  admin.headers.authorization = `Bearer ${login.json<{ token: string }>().token}`
  const last = await next(link)
  t.not(idOf(last), first, 'it would end after its view may be gone from the log')
  t.equal(idOf(await next(last)), idOf(last), 'and is continued from there')
})
