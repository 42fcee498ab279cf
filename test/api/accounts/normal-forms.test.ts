import bcrypt from 'bcryptjs'
import t from 'tap'
import { migrations } from '../../../migrations/index.js'
import { openDatabase } from '../../../src/database/open.js'
import { fold } from '../../../src/database/fold.js'
import { addBatch, lectureText, newCourse, type BatchReply, type Course } from '../../support/courses.js'
import { buildTestApp } from '../../support/test-app.js'
import { call, done, logIn, signUp, signUpEverybody, upload } from '../../support/client.js'

const composed = 'Caf\u00e9'
const decomposed = 'Cafe\u0301'

t.test('texts are folded alike whatever their case and normal form', async (t) => {
  const equal: Array<[string, string]> = [
    ['ÄÖÜ', 'äöü'],
    [composed, decomposed.toUpperCase()],
    ['STRASSE', 'straße'],
    ['ΟΔΟΣ', 'οδος'],
    ['οδοσ', 'οδος'],
    ['ЖУК', 'жук'],
    ['\ufb01lm', 'FILM'],
    ['ＡＢ', 'ab'],
    ['\u1e9b\u0323', '\u1e69']
  ]
  for (const [one, other] of equal) t.equal(fold(one), fold(other), `${one} ${other}`)
  for (const [one, other] of [
    ['a', 'ä'],
    ['e', 'é'],
    ['o', '0']
  ] as const) {
    t.not(fold(one), fold(other), `${one} ${other}`)
  }
})

t.test('a search ignores case beyond ASCII and finds NFC by NFD; wildcards are themselves', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor } = await signUpEverybody(server)
  const titles = [composed, 'STRAßE 100%', 'ЖУК', 'a_b']
  for (const title of titles) await upload(server, instructor, 'tiny.mp4', { title })
  const found = async (q: string) => {
    const page = await done<{ items: Array<{ title: string }> }>(
      server,
      'GET',
      `/media?q=${encodeURIComponent(q)}`,
      instructor
    )
    return page.items.map(({ title }) => title)
  }
  const cases: Array<[q: string, titles: string[]]> = [
    [decomposed, [composed]],
    ['CAFÉ', [composed]],
    ['strasse', ['STRAßE 100%']],
    ['жук', ['ЖУК']],
    ['%', ['STRAßE 100%']],
    ['_', ['a_b']],
    ['％', ['STRAßE 100%']],
    ['cafe', []]
  ]
  for (const [q, expected] of cases) t.same(await found(q), expected, q)
  const [{ id }] = (await done<{ items: [{ id: string }] }>(server, 'GET', '/media?q=жук', instructor)).items
  await done(server, 'PATCH', `/media/${id}`, instructor, { title: 'ÉTÉ' })
  t.same(await found('été'), ['ÉTÉ'], 'a changed title is found')
  t.same(await found('жук'), [])
  await server.query('update media set title_search = null')
  t.same(await found('A_B'), ['a_b'], 'a row of an older process too')

  await signUp(server, 'student', 'zoe@example.org')
  await server.query("update accounts set search_text = null where email = 'zoe@example.org'")
  t.equal((await done<{ total: number }>(server, 'GET', '/users?q=ZOE', admin)).total, 1)
})

t.test('texts are trimmed and stored in NFC, in forms, bodies and batches; emails are trimmed', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const sent = ` ${decomposed}\r\n`
  t.equal((await upload(server, instructor, 'tiny.mp4', { title: sent })).json<{ title: string }>().title, composed)
  const course = await newCourse(server, instructor, { title: sent, description: `${sent}\n` })
  t.match(course, { title: composed, description: composed })
  t.match(
    await done<Course>(server, 'PATCH', `/course/${course.id}`, instructor, {
      title: `${sent}${sent}\n`.replaceAll('\r\n', ' ')
    }),
    { title: `${composed}  ${composed}` }
  )
  const batch = await addBatch(
    server,
    instructor,
    ['tiny.mp4'],
    [{ ...lectureText, title: sent, course_id: course.id }]
  )
  t.equal(batch.json<BatchReply>().results[0]!.lecture?.title, composed)
  const blank = await call(server, 'POST', '/course', instructor, { title: ' \n ', description: 'x' })
  t.equal(blank.statusCode, 422, 'nothing but spaces is blank')
  t.equal(
    (await call(server, 'POST', '/course', instructor, { title: 'a\nb', description: 'x' })).statusCode,
    422,
    'a break inside is refused'
  )

  const signup = { email: ' Ada@Example.org\n', password: 'secure_password123' }
  t.match(await done(server, 'POST', '/auth/signup', undefined, signup), { email: 'Ada@Example.org' })
  t.equal((await call(server, 'POST', '/auth/login', undefined, signup)).statusCode, 200)
})

t.test('a password may be typed composed or decomposed; a hash of the raw form still opens', async (t) => {
  const server = await buildTestApp(t)
  const statusOf = async (email: string, password: string) => (await logIn(server, email, password)).statusCode
  const [nfc, nfd] = [`${composed} au lait`, `${decomposed} au lait`]
  await done(server, 'POST', '/auth/signup', undefined, { email: 'new@example.org', password: nfd })
  t.same(
    [
      await statusOf('new@example.org', nfc),
      await statusOf('new@example.org', nfd),
      await statusOf('new@example.org', 'Cafe au lait')
    ],
    [200, 200, 401]
  )
  await done(server, 'POST', '/auth/signup', undefined, { email: 'old@example.org', password: nfc })
  await server.query(
    `update accounts set password_hash = '${await bcrypt.hash(nfd, 4)}' where email = 'old@example.org'`
  )
  t.same([await statusOf('old@example.org', nfd), await statusOf('old@example.org', nfc)], [200, 401])
  t.equal(await statusOf('new@example.org', ` ${nfc}`), 401, 'spaces of a password count')
})

t.test('the migration folds what is there, as the server folds what comes', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  await upload(server, instructor, 'tiny.mp4', { title: `${composed} STRAßE ΟΔΟΣ` })
  const texts = async () => [
    await server.query('select title_search from media order by id'),
    await server.query('select search_text from accounts order by id')
  ]
  const before = await texts()
  await server.query('alter table media drop column title_search')
  await server.query('alter table accounts drop column search_text')
  const db = openDatabase(server.config.database)
  t.teardown(() => db.destroy())
  await migrations['011-search-text']!.up(db)
  t.same(await texts(), before)
})
