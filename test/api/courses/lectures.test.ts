import t from 'tap'
import { buildTestApp, expectProblem, removalsDone } from '../../support/test-app.js'
import {
  addLecture,
  findCourse,
  keeps,
  kept,
  lectureText,
  newCourse,
  newLecture,
  part,
  unknown,
  type Lecture
} from '../../support/courses.js'
import {
  call,
  done,
  postForm,
  signUp,
  signUpEverybody,
  textParts,
  upload,
  type FormPart
} from '../../support/client.js'

t.test('lectures', async (t) => {
  const server = await buildTestApp(t)
  const { admin, instructor, student } = await signUpEverybody(server)
  const other = await signUp(server)
  const course = await newCourse(server, instructor)
  const fields = textParts({ ...lectureText, course_id: course.id })

  t.test('are added with the file before, between or after the fields', async (t) => {
    const fresh = await newCourse(server, instructor)
    const parts = textParts({ ...lectureText, title: '  Sorting  ', course_id: fresh.id })
    for (const at of [0, 2, parts.length]) {
      const reply = await postForm(server, '/course/add-lecture', instructor, [
        ...parts.slice(0, at),
        await part(),
        ...parts.slice(at)
      ])
      t.equal(reply.statusCode, 201, reply.body)
      const lecture = reply.json<Lecture>()
      t.equal(reply.headers.location, `/lecture/${lecture.id}`)
      t.match(lecture, {
        ...lectureText,
        course_id: fresh.id,
        status: 'ready',
        playback_id: lecture.asset_id,
        duration: 2
      })
      t.ok(
        (await server.inject({ url: new URL(lecture.url).pathname + new URL(lecture.url).search })).rawPayload.equals(
          (await part()).value as Buffer
        ),
        'its url streams the file'
      )
    }
    t.same(
      (await done<Lecture[]>(server, 'GET', `/course/${fresh.id}/lectures`, instructor)).map(
        ({ position }) => position
      ),
      [1, 2, 3]
    )
    t.match(await findCourse(server, fresh.id), { lectures_count: 3, duration: 6 })
  })

  t.test("belong to the course's owner, also when an administrator uploads them", async (t) => {
    for (const uploader of [instructor, admin]) {
      const { asset_id: id } = await newLecture(server, uploader, course.id)
      t.match(await done(server, 'GET', `/media/${id}`, instructor), {
        owner_id: instructor.id,
        visibility: 'private',
        title: lectureText.title
      })
    }
  })

  const badForms: Array<[name: string, parts: FormPart[], status: number, code: string, fields?: string[]]> = [
    ['no file', fields, 422, 'validation_failed', ['lecture_file']],
    ['two files', [...fields, await part(), await part()], 422, 'validation_failed', ['lecture_file']],
    ['a file under another name', [...fields, await part('tiny.mp4', 'file')], 422, 'validation_failed', ['file']],
    [
      'no fields',
      [await part()],
      422,
      'validation_failed',
      ['title', 'description', 'category', 'subcategory', 'course_id']
    ],
    [
      'an unknown field',
      [...fields, await part(), ...textParts({ owner_id: 'x' })],
      422,
      'validation_failed',
      ['owner_id']
    ],
    ['text named .mp4', [...fields, await part('text.mp4')], 415, 'unsupported_media_format'],
    ['an empty file', [...fields, await part('empty.mp4')], 415, 'unsupported_media_format'],
    ['an unknown course', [...textParts({ ...lectureText, course_id: unknown }), await part()], 404, 'not_found'],
    ...(await Promise.all(
      [
        ['title', 200],
        ['description', 1000],
        ['category', 100],
        ['subcategory', 100]
      ].flatMap(([name, max]) =>
        ['', '   ', 'x'.repeat(Number(max) + 1)].map(
          async (value): Promise<[string, FormPart[], number, string, string[]]> => [
            `${name} of ${value.length}`,
            [await part(), ...textParts({ ...lectureText, course_id: course.id, [name!]: value })],
            422,
            'validation_failed',
            [String(name)]
          ]
        )
      )
    ))
  ]
  for (const [name, parts, status, code, names] of badForms) {
    t.test(`refuses ${name} and keeps nothing`, async (t) => {
      const [before, sums] = [await kept(server), await findCourse(server, course.id)]
      expectProblem(t, await postForm(server, '/course/add-lecture', instructor, parts), status, code, names)
      await keeps(t, server, before, 0, name)
      t.same(await findCourse(server, course.id), sums)
    })
  }

  t.test('are not added by a student, by another instructor or without a token', async (t) => {
    const before = await kept(server)
    expectProblem(t, await addLecture(server, student, course.id), 403, 'role_required')
    expectProblem(t, await addLecture(server, other, course.id), 403, 'not_owner')
    expectProblem(t, await addLecture(server, undefined, course.id), 401, 'not_authenticated')
    expectProblem(
      t,
      await call(server, 'POST', '/course/add-lecture', instructor, { ...lectureText, course_id: course.id }),
      415,
      'unsupported_content_type'
    )
    await keeps(t, server, before, 0, 'without the right')
  })

  t.test('are changed by name, trimmed and checked', async (t) => {
    const { id } = await newLecture(server, instructor, course.id)
    t.match(await done(server, 'PATCH', `/lecture/${id}`, instructor, { title: ' New ', category: ' Maths ' }), {
      id,
      title: 'New',
      category: 'Maths',
      subcategory: lectureText.subcategory
    })
    for (const [change, field] of [
      [{ title: ' ' }, 'title'],
      [{ category: 'x'.repeat(101) }, 'category'],
      [{ position: 1 }, 'position'],
      [{ course_id: course.id }, 'course_id']
    ] as const) {
      expectProblem(t, await call(server, 'PATCH', `/lecture/${id}`, instructor, change), 422, 'validation_failed', [
        field
      ])
    }
    for (const method of ['PATCH', 'DELETE'] as const) {
      const payload = method === 'PATCH' ? { title: 'Mine' } : undefined
      expectProblem(t, await call(server, method, `/lecture/${id}`, other, payload), 403, 'not_owner')
      expectProblem(t, await call(server, method, `/lecture/${unknown}`, instructor, payload), 404, 'not_found')
    }
  })

  t.test('a media that a lecture uses is deleted only with the lecture', async (t) => {
    const before = await kept(server)
    const lecture = await newLecture(server, instructor, course.id)
    for (const person of [instructor, admin]) {
      expectProblem(t, await call(server, 'DELETE', `/media/${lecture.asset_id}`, person), 409, 'media_in_use')
    }
    t.equal(
      (await server.inject({ url: `/media/stream/${lecture.asset_id}`, headers: instructor.headers })).statusCode,
      200,
      'it streams still'
    )
    await keeps(t, server, before, 1, 'refused')
    t.equal((await call(server, 'DELETE', `/lecture/${lecture.id}`, instructor)).statusCode, 204)
    await keeps(t, server, before, 0, 'with its lecture')
    const { id } = (await upload(server, instructor)).json<{ id: string }>()
    t.equal((await call(server, 'DELETE', `/media/${id}`, instructor)).statusCode, 204, 'one without a lecture')
  })

  t.test('are put in an order that names each once', async (t) => {
    const { id } = await newCourse(server, instructor)
    const lectures = []
    for (const title of ['A', 'B', 'C']) {
      lectures.push(await newLecture(server, instructor, id, { title, file: 'tiny.ogg' }))
    }
    const [a, b, c] = lectures.map((lecture) => lecture.id) as [string, string, string]
    const foreign = (await newLecture(server, instructor, course.id)).id
    const order = async (ids: unknown) =>
      await call(server, 'PUT', `/course/${id}/lectures/order`, instructor, { lecture_ids: ids })
    t.same(
      (await order([c, a, b])).json<Lecture[]>().map(({ title, position }) => [title, position]),
      [
        ['C', 1],
        ['A', 2],
        ['B', 3]
      ]
    )
    for (const bad of [
      [],
      [a, b],
      [a, b, b],
      [a, b, c, c],
      [a, b, foreign],
      [a, b, c, foreign],
      [a, b, unknown],
      'abc',
      null
    ]) {
      expectProblem(t, await order(bad), 422, 'validation_failed', ['lecture_ids'])
    }
    t.same(
      (await done<Lecture[]>(server, 'GET', `/course/${id}/lectures`, instructor)).map((lecture) => lecture.id),
      [c, a, b],
      'nothing of that changed it'
    )
    const replies = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => (await order(i % 2 ? [a, b, c] : [b, c, a])).statusCode)
    )
    t.same(new Set(replies), new Set([200]))
    const after = await done<Lecture[]>(server, 'GET', `/course/${id}/lectures`, instructor)
    t.same(
      after.map(({ position }) => position),
      [1, 2, 3]
    )
    t.ok(['A B C', 'B C A'].includes(after.map(({ title }) => title).join(' ')), 'one of the orders, whole')
  })
})

t.test('twenty lectures added at once are all counted, and seven deleted at once are all taken off', async (t) => {
  const server = await buildTestApp(t)
  const { instructor, admin } = await signUpEverybody(server)
  const { id } = await newCourse(server, instructor)
  const files = ['tiny.mp4', 'tiny.mp3', 'tiny.avi', 'tiny.aac', 'tiny.opus']
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      addLecture(server, index % 2 ? admin : instructor, id, { file: files[index % 5]!, title: `Lecture ${index}` })
    )
  )
  t.same(
    replies.map(({ statusCode }) => statusCode),
    Array(20).fill(201),
    String(replies.find(({ statusCode }) => statusCode !== 201)?.body)
  )
  async function adds (count: number): Promise<Lecture[]> {
    const lectures = await done<Lecture[]>(server, 'GET', `/course/${id}/lectures`, instructor)
    const course = await findCourse(server, id)
    const [row] = await server.query<{ duration_ms: string | number }>(
      `select duration_ms from courses where id = '${id}'`
    )
    const [sum] = await server.query<{ sum: string | number }>(
      'select sum(duration_ms) as sum from media where id in (select media_id from lectures where course_id = ' +
        `'${id}' and deleted_at is null)`
    )
    t.equal(course.lectures_count, count)
    t.same(
      lectures.map(({ position }) => position),
      Array.from({ length: count }, (_, index) => index + 1),
      'positions without gaps'
    )
    t.equal(
      Math.round(course.duration * 1000),
      lectures.reduce((total, { duration }) => total + Math.round(duration * 1000), 0)
    )
    t.equal(Number(row!.duration_ms), Number(sum!.sum), 'the sum to the millisecond')
    t.equal(course.duration, Number(sum!.sum) / 1000)
    return lectures
  }
  const lectures = await adds(20)
  t.ok(new Set(lectures.map(({ duration }) => duration)).size > 1, 'of several lengths')
  const gone = [0, 1, 5, 9, 10, 18, 19].map((index) => lectures[index]!)
  const deletions = await Promise.all(
    [...gone, gone[0]!].map((lecture) => call(server, 'DELETE', `/lecture/${lecture.id}`, instructor))
  )
  t.same(
    deletions.map(({ statusCode }) => statusCode).sort(),
    [...Array(7).fill(204), 404],
    'one of them was asked for twice'
  )
  const left = await adds(13)
  t.same(
    left.map((lecture) => lecture.id),
    lectures.filter((lecture) => !gone.includes(lecture)).map((lecture) => lecture.id),
    'in the same order'
  )
  await removalsDone(server)
  t.equal((await server.storedFiles()).length, 13)
  t.equal((await newLecture(server, instructor, id)).position, 14)
})

t.test('a course deleted while lectures are added leaves no media behind', async (t) => {
  const server = await buildTestApp(t)
  const { instructor } = await signUpEverybody(server)
  const { id } = await newCourse(server, instructor)
  const before = await kept(server)
  await newLecture(server, instructor, id)
  const adds = Array.from({ length: 8 }, () => addLecture(server, instructor, id, { file: 'tiny.ogg' }))
  const first = await Promise.race(adds)
  const [deletion, ...replies] = await Promise.all([call(server, 'DELETE', `/course/${id}`, instructor), ...adds])
  t.equal(first.statusCode, 201)
  t.equal(deletion!.statusCode, 204)
  for (const { statusCode, body } of replies) t.ok(statusCode === 201 || statusCode === 404, body)
  await keeps(t, server, before, 0, 'afterwards')
})
