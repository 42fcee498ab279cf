import t from 'tap'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import {
  addBatch,
  findCourse,
  keeps,
  kept,
  lectureText,
  newCourse,
  part,
  unknown,
  type BatchReply
} from '../../support/courses.js'
import { postForm, signUp, signUpEverybody, textParts, type FormPart } from '../../support/client.js'

const MAX_UPLOAD_BYTES = 19_000

t.test('batches of lectures', async (t) => {
  const server = await buildTestApp(t, { MAX_UPLOAD_BYTES: String(MAX_UPLOAD_BYTES) })
  const { admin, instructor, student } = await signUpEverybody(server)
  const other = await signUp(server)
  const course = await newCourse(server, instructor)
  const foreign = await newCourse(server, other)
  const entry = (fields: object = {}) => ({ ...lectureText, course_id: course.id, ...fields })

  t.test('two good ones are two of two, in their order', async (t) => {
    const before = await kept(server)
    const reply = await addBatch(
      server,
      instructor,
      ['tiny.mp4', 'tiny.mp3'],
      [entry({ title: ' First ' }), entry({ title: 'Second' })]
    )
    t.equal(reply.statusCode, 201, reply.body)
    const { results, ...summary } = reply.json<BatchReply>()
    t.same(summary, { total_videos: 2, successful_uploads: 2, failed_uploads: 0 })
    t.match(results, [
      {
        success: true,
        error: null,
        video_filename: 'tiny.mp4',
        lecture: { title: 'First', position: 1, duration: 2, course_id: course.id }
      },
      {
        success: true,
        error: null,
        video_filename: 'tiny.mp3',
        lecture: { title: 'Second', position: 2, course_id: course.id }
      }
    ])
    await keeps(t, server, before, 2, 'both')
    t.match(await findCourse(server, course.id), {
      lectures_count: 2,
      duration: results[0]!.lecture!.duration + results[1]!.lecture!.duration
    })
  })

  t.test('the 201 has the Location of its course; lectures_data may be typed as JSON (bug: it was 400)', async (t) => {
    const data = {
      name: 'lectures_data',
      value: JSON.stringify([entry()]),
      fileName: 'data.json',
      contentType: 'application/json'
    }
    for (const typed of [data, { ...data, fileName: undefined }]) {
      const file = await part('tiny.mp4', 'lectures_files')
      const reply = await postForm(server, '/course/add-lectures-batch', instructor, [typed, file])
      t.equal(reply.statusCode, 201, reply.body)
      t.equal(reply.headers.location, `/course/${course.id}/lectures`)
    }
  })

  t.test('a single lecture, the data after the files, and an administrator for another are fine', async (t) => {
    const data = textParts({ lectures_data: JSON.stringify([entry()]) })
    const reply = await postForm(server, '/course/add-lectures-batch', admin, [
      await part('tiny.mp4', 'lectures_files'),
      ...data
    ])
    t.match(reply.json(), { total_videos: 1, successful_uploads: 1, failed_uploads: 0 }, reply.body)
  })

  t.test('a course_id beside the data is the default of the entries, and no more', async (t) => {
    const second = await newCourse(server, instructor)
    const reply = await addBatch(server, instructor, ['tiny.mp4', 'tiny.mp3'], [lectureText, entry()], {
      course_id: second.id
    })
    t.equal(reply.statusCode, 201, reply.body)
    t.same(
      reply.json<BatchReply>().results.map(({ lecture }) => lecture?.course_id),
      [second.id, course.id]
    )
  })

  t.test('a file without a name is taken like any other', async (t) => {
    const nameless: FormPart = { ...(await part('tiny.mp4', 'lectures_files')), fileName: '' }
    const reply = await addBatch(server, instructor, [nameless], [entry()])
    t.equal(reply.statusCode, 201, reply.body)
    t.equal(reply.json<BatchReply>().results[0]!.video_filename, '')
    const { headers, payload } = await withoutFileName()
    const bare = await server.inject({
      method: 'POST',
      url: '/course/add-lectures-batch',
      headers: { ...headers, ...instructor.headers },
      payload
    })
    t.equal(bare.statusCode, 201, `bug: a file known only by its content type was a 500: ${bare.body}`)
    t.match(bare.json(), { results: [{ success: true, video_filename: '' }] })
  })

  /** A part that only its content type makes a file. */
  async function withoutFileName () {
    const boundary = '----bare'
    const payload = Buffer.concat([
      Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="lectures_data"\r\n\r\n${JSON.stringify([entry()])}\r\n`
      ),
      Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="lectures_files"\r\ncontent-type: ` +
          'application/octet-stream\r\n\r\n'
      ),
      (await part()).value as Buffer,
      Buffer.from(`\r\n--${boundary}--\r\n`)
    ])
    return { headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }, payload }
  }

  const large: FormPart = {
    name: 'lectures_files',
    value: Buffer.concat([(await part()).value as Buffer, Buffer.alloc(500_000)]),
    fileName: 'large.mp4'
  }
  const halves: Array<[name: string, file: string | FormPart, entry: unknown, code: string, words: RegExp]> = [
    ['text named .mp4', 'text.mp4', entry(), 'unsupported_media_format', /format/],
    ['an empty file', 'empty.mp4', entry(), 'unsupported_media_format', /empty/],
    ['a file that is too large', large, entry(), 'upload_too_large', /19000 bytes/],
    ["another's course", 'tiny.mp4', entry({ course_id: foreign.id }), 'not_owner', /owner/],
    ['an unknown course', 'tiny.mp4', entry({ course_id: unknown }), 'not_found', /does not exist/],
    ['no course', 'tiny.mp4', lectureText, 'validation_failed', /course_id/],
    ['a blank title', 'tiny.mp4', entry({ title: '  ' }), 'validation_failed', /title/],
    ['a long title', 'tiny.mp4', entry({ title: 'x'.repeat(201) }), 'validation_failed', /title/],
    ['an unknown field', 'tiny.mp4', entry({ position: 1 }), 'validation_failed', /position/],
    ['a number for an entry', 'tiny.mp4', 5, 'validation_failed', /object/],
    ['null for an entry', 'tiny.mp4', null, 'validation_failed', /object/],
    ['an array for an entry', 'tiny.mp4', [], 'validation_failed', /object|required/]
  ]
  for (const [name, file, data, code, words] of halves) {
    t.test(`of ${name} and a good one, the good one is taken, whichever comes first`, async (t) => {
      for (const badFirst of [true, false]) {
        const before = await kept(server)
        const good = entry({ title: 'Good' })
        const reply = await addBatch(
          server,
          instructor,
          badFirst ? [file, 'tiny.ogg'] : ['tiny.ogg', file],
          badFirst ? [data, good] : [good, data]
        )
        t.equal(reply.statusCode, 201, reply.body)
        const { results, ...summary } = reply.json<BatchReply>()
        t.same(summary, { total_videos: 2, successful_uploads: 1, failed_uploads: 1 })
        const [bad, fine] = badFirst ? [results[0]!, results[1]!] : [results[1]!, results[0]!]
        t.match(fine, { success: true, lecture: { title: 'Good' }, error: null, video_filename: 'tiny.ogg' })
        t.match(bad, {
          success: false,
          lecture: null,
          error: { code },
          video_filename: typeof file === 'string' ? file : file.fileName!
        })
        t.match(bad.error?.message, words)
        await keeps(t, server, before, 1, name)
      }
    })
    t.test(`a batch with only ${name} is a 422 that says so by result, and nothing is kept`, async (t) => {
      const before = await kept(server)
      const reply = await addBatch(server, instructor, [file], [data])
      expectProblem(t, reply, 422, 'batch_failed')
      t.match(reply.json(), {
        total_videos: 1,
        successful_uploads: 0,
        failed_uploads: 1,
        results: [{ success: false, lecture: null, error: { code } }]
      })
      await keeps(t, server, before, 0, name)
    })
  }

  const twice = ['tiny.mp4', 'tiny.mp3']
  const refused: Array<[name: string, files: string[], data: unknown, field: string]> = [
    ['no file', [], [], 'lectures_files'],
    ['no file for one entry', [], [entry()], 'lectures_files'],
    ['three files', [...twice, 'tiny.ogg'], [entry(), entry(), entry()], 'lectures_files'],
    ['three files for two entries', [...twice, 'tiny.ogg'], [entry(), entry()], 'lectures_files'],
    ['fewer entries than files', twice, [entry()], 'lectures_data'],
    ['more entries than files', ['tiny.mp4'], [entry(), entry()], 'lectures_data'],
    ['no entries', twice, [], 'lectures_data'],
    ['no data', twice, undefined, 'lectures_data'],
    ['empty data', twice, '', 'lectures_data'],
    ['invalid JSON', twice, '[{"title": ', 'lectures_data'],
    ['an object', twice, { 0: entry(), 1: entry(), length: 2 }, 'lectures_data'],
    ['text in JSON', twice, '"two"', 'lectures_data'],
    ['null', twice, 'null', 'lectures_data']
  ]
  for (const [name, files, data, field] of refused) {
    t.test(`${name}: 422 on ${field}, nothing is kept`, async (t) => {
      const before = await kept(server)
      expectProblem(t, await addBatch(server, instructor, files, data), 422, 'validation_failed', [field])
      await keeps(t, server, before, 0, name)
    })
  }

  t.test('a student, one without a token, and another form are refused and nothing is kept', async (t) => {
    const before = await kept(server)
    expectProblem(t, await addBatch(server, student, ['tiny.mp4'], [entry()]), 403, 'role_required')
    expectProblem(t, await addBatch(server, undefined, ['tiny.mp4'], [entry()]), 401, 'not_authenticated')
    expectProblem(
      t,
      await addBatch(server, instructor, ['tiny.mp4'], [entry()], { title: 'x' }),
      422,
      'validation_failed',
      ['title']
    )
    expectProblem(
      t,
      await postForm(server, '/course/add-lectures-batch', instructor, [
        await part(),
        ...textParts({ lectures_data: '[]' })
      ]),
      422,
      'validation_failed',
      ['lecture_file']
    )
    await keeps(t, server, before, 0, 'refused')
  })

  t.test('ten batches at once lose none', async (t) => {
    const { id } = await newCourse(server, instructor)
    const replies = await Promise.all(
      Array.from({ length: 10 }, () =>
        addBatch(server, instructor, ['tiny.ogg', 'tiny.mp3'], [lectureText, lectureText], { course_id: id })
      )
    )
    for (const reply of replies) t.match(reply.json(), { successful_uploads: 2 }, reply.body)
    t.equal((await findCourse(server, id)).lectures_count, 20)
  })
})
