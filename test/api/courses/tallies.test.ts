import t from 'tap'
import { migrations } from '../../../migrations/index.js'
import { migrate } from '../../../src/database/migrate.js'
import { openDatabase } from '../../../src/database/open.js'
import { loadConfig } from '../../../src/config/config.js'
import { buildTestApp, openTestApp, queryDatabase, testEnvironment, type TestApp } from '../../support/test-app.js'
import { newClass, newCourse, newLecture, subscribe, type Course } from '../../support/courses.js'
import { eventually } from '../../support/server-process.js'
import { call, done, signUp, signUpEverybody, type Person } from '../../support/client.js'
import { figuresAgree } from '../../support/counters.js'

/** Resolves when no background job is left. */
async function settled (server: TestApp): Promise<void> {
  await eventually('no job is left', async () => (await server.query('select id from jobs')).length === 0)
}

t.test(
  'tallies and counters agree with their rows after reports, subscriptions, moves and deletions at once',
  async (t) => {
    const server = await buildTestApp(t)
    const { instructor } = await signUpEverybody(server)
    const { course, lectures } = await newClass(server, instructor, ['tiny.mp3', 'tiny.flac', 'tiny.wav', 'tiny.ogg'])
    const students: Person[] = []
    for (let count = 0; count < 6; count++) students.push(await signUp(server, 'student'))
    let seed = 7
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below
    const steps = Array.from({ length: 160 }, () => async () => {
      const student = students[random(students.length)]!
      const choice = random(10)
      if (choice < 2) return await subscribe(server, student, course.id)
      if (choice === 2) return await call(server, 'DELETE', `/subscribe/${course.id}`, student)
      if (choice === 3) {
        return await call(server, 'PUT', `/course/${course.id}/lectures/order`, instructor, {
          lecture_ids: lectures.map(({ id }) => id).sort(() => random(3) - 1)
        })
      }
      const watched = random(21) / 10
      return await call(server, 'POST', `/lecture/${lectures[random(4)]!.id}/progress`, student, {
        position_seconds: watched,
        watched_seconds: watched
      })
    })
    for (let at = 0; at < steps.length; at += 8) {
      for (const { statusCode, body } of await Promise.all(steps.slice(at, at + 8).map((step) => step()))) {
        t.ok(statusCode < 500, body)
      }
    }
    await settled(server)
    await figuresAgree(t, server, 'after 160 calls, eight at once')
    t.equal((await call(server, 'DELETE', `/lecture/${lectures[3]!.id}`, instructor)).statusCode, 204)
    await settled(server)
    await figuresAgree(t, server, 'without the last lecture')
    const { items, total } = await done<{ items: Course[]; total: number }>(server, 'GET', '/course/all')
    t.equal(total, items.length)
    t.equal((await call(server, 'DELETE', `/course/${course.id}`, instructor)).statusCode, 204)
    for (const student of students) {
      t.match(
        await done(server, 'GET', '/subscribe/my-courses', student),
        { items: [], total: 0 },
        'a deleted course is in no list and no total, at once'
      )
    }
    await settled(server)
    await figuresAgree(t, server, 'without the course')
    t.same(await server.query('select * from lecture_progress'), [])
  }
)

t.test('where most students stop follows a new order of the lectures, and the end of one', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const { course, lectures, student } = await newClass(server, instructor, ['tiny.mp3', 'tiny.flac'])
  const [a, b] = lectures.map(({ id }) => id) as [string, string]
  for (const id of [a, b]) {
    await call(server, 'POST', `/lecture/${id}/progress`, student, { position_seconds: 1, watched_seconds: 1 })
  }
  const dropOff = async () =>
    (await done<{ drop_off_lecture_id: string }>(server, 'GET', `/course/${course.id}/analytics`, instructor))
      .drop_off_lecture_id
  t.equal(await dropOff(), b)
  await call(server, 'PUT', `/course/${course.id}/lectures/order`, instructor, { lecture_ids: [b, a] })
  await settled(server)
  t.equal(await dropOff(), a)
  await call(server, 'DELETE', `/lecture/${a}`, instructor)
  await settled(server)
  t.equal(await dropOff(), b)
})

t.test('the migrations fill counters and tallies from rows that are there', async (t) => {
  const { env, folder } = await testEnvironment(t)
  const config = loadConfig(env)
  const db = openDatabase(config.database)
  t.teardown(() => db.destroy())
  await migrate(db, Object.fromEntries(Object.entries(migrations).filter(([name]) => name < '007')))
  const id = (kind: number, index: number) => `019377a4-3f0${kind}-7000-8000-${String(index).padStart(12, '0')}`
  const insert = (table: string, columns: string, rows: string[]) =>
    queryDatabase(config, `insert into ${table} (${columns}) values ${rows.map((row) => `(${row})`).join()}`)
  const range = (count: number) => Array.from({ length: count }, (_, index) => index)
  await insert(
    'accounts',
    'id, email, email_key, password_hash, role, created_at',
    range(5).map(
      (index) => `'${id(0, index)}', 'p${index}@example.org', 'p${index}@example.org', 'x', 'student', ${index}`
    )
  )
  await insert(
    'media',
    'id, owner_id, title, type, visibility, status, file_url, codecs, size_bytes, duration_ms, created_at, updated_at',
    range(6).map(
      (index) =>
        `'${id(1, index)}', '${id(0, 0)}', 'T', '${index % 2 ? 'video' : 'audio'}', 'private', 'ready', ` +
        `'https://example.org/', '[]', ${index}, ${index === 5 ? 'null' : 1000}, ${index}, ${index}`
    )
  )
  await insert(
    'courses',
    'id, owner_id, title, description, premium, duration_ms, lectures_count, created_at, updated_at',
    range(2).map((index) => `'${id(2, index)}', '${id(0, 0)}', 'T', 'D', 0, 0, 3, ${index}, ${index}`)
  )
  await insert(
    'lectures',
    'id, course_id, media_id, title, description, category, subcategory, position, created_at, updated_at',
    range(6).map(
      (index) =>
        `'${id(3, index)}', '${id(2, index % 2)}', '${id(1, index)}', 'T', 'D', 'C', 'S', ` +
        `${1 + Math.floor(index / 2)}, 0, 0`
    )
  )
  await insert(
    'subscriptions',
    'id, student_id, course_id, created_at',
    range(4).map((index) => `'${id(4, index)}', '${id(0, 1 + index)}', '${id(2, index % 2)}', 0`)
  )
  await insert(
    'lecture_progress',
    'lecture_id, student_id, position_ms, watched_ms, updated_at',
    range(30)
      .filter((index) => index % 7 > 0)
      .map((index) => `'${id(3, index % 6)}', '${id(0, index % 5)}', 500, ${(index % 3) * 450}, 0`)
  )
  await migrate(db, migrations)
  const server = await openTestApp(t, env, folder)
  await figuresAgree(t, server, 'after the migrations')
  t.ok((await server.query('select * from lecture_tallies where stopped > 0')).length > 0)
})

t.test('no list can be read past row 10,000, and says so', async (t) => {
  const server = await buildTestApp(t)
  const { admin, student } = await signUpEverybody(server)
  const course = await newCourse(server, admin)
  const { media_id: mediaId } = (await newLecture(server, admin, course.id)) as unknown as { media_id: string }
  for (const [url, person] of [
    ['/course/all', undefined],
    ['/course/mine', admin],
    ['/subscribe/my-courses', student],
    ['/media', admin],
    ['/media?q=a', admin],
    ['/media?type=video', admin],
    ['/users', admin],
    ['/users?q=a', admin],
    [`/media/${mediaId}/views`, admin]
  ] as const) {
    const page = (number: number) =>
      call(server, 'GET', `${url}${url.includes('?') ? '&' : '?'}page=${number}&size=100`, person)
    t.equal((await page(101)).statusCode, 200, `${url}: row 10,001 is the first of the last page`)
    const refused = await page(102)
    t.equal(refused.statusCode, 422, url)
    t.match(refused.json(), {
      code: 'validation_failed',
      errors: [{ path: 'page', message: /must not start after row 10000/ }]
    })
  }
})
