import t from 'tap'
import { buildTestApp, signUp, type FormPart, type Person, type TestApp } from '../helper.js'
import { call, courseText, lectureText, newCourse, newLecture, part, postForm, subscribe, succeeded, textParts, type Course, type Lecture } from './classroom.js'

// Every route × everyone. A cell that changes something has a course, a lecture and a subscription of its own.

const everyone = ['nobody', 'student', 'subscribed', 'instructor', 'owner', 'other', 'admin', 'disabled'] as const
type Who = typeof everyone[number]
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

interface Scene { server: TestApp, people: Record<Who, Person | undefined>, course: Course, lecture: Lecture }
interface Row { path: string, url?: (scene: Scene) => string, body?: (scene: Scene) => object, form?: (scene: Scene) => Promise<FormPart[]>, statuses: Record<Who, number> }

const of = (...[nobody, student, subscribed, instructor, owner, other, admin, disabled]: [number, number, number, number, number, number, number, number]) =>
  ({ nobody, student, subscribed, instructor, owner, other, admin, disabled })
const publicly = of(200, 200, 200, 200, 200, 200, 200, 200)
const teaching = (status: number) => of(401, 403, 403, status, status, status, status, 401)
const owning = (status: number) => of(401, 403, 403, 403, status, 403, status, 401)
const studying = (status: number, subscribed: number) => of(401, status, subscribed, 403, 403, 403, 403, 401)

// In the columns' order: no token, student, subscribed student, instructor, owner, other instructor, admin, disabled account.
const rows: Row[] = [
  { path: 'GET /course/all', statuses: publicly },
  { path: 'GET /course/{id}', statuses: publicly },
  { path: 'POST /course', body: () => courseText, statuses: teaching(201) },
  { path: 'GET /course/mine', statuses: teaching(200) },
  { path: 'PATCH /course/{id}', body: () => ({ title: 'New' }), statuses: owning(200) },
  { path: 'DELETE /course/{id}', statuses: owning(204) },
  { path: 'GET /course/{id}/lectures', statuses: owning(200) },
  { path: 'PUT /course/{id}/lectures/order', body: ({ lecture }) => ({ lecture_ids: [lecture.id] }), statuses: owning(200) },
  { path: 'GET /course/{id}/analytics', statuses: owning(200) },
  { path: 'POST /course/add-lecture', form: async ({ course }) => [...textParts({ ...lectureText, course_id: course.id }), await part('tiny.ogg')], statuses: owning(201) },
  {
    path: 'POST /course/add-lectures-batch',
    form: async ({ course }) => [...textParts({ lectures_data: JSON.stringify([{ ...lectureText, course_id: course.id }]) }), await part('tiny.ogg', 'lectures_files')],
    // The entry for another's course fails by itself, and it is the only one.
    statuses: of(401, 403, 403, 422, 201, 422, 201, 401)
  },
  { path: 'PATCH /lecture/{id}', url: ({ lecture }) => `/lecture/${lecture.id}`, body: () => ({ title: 'New' }), statuses: owning(200) },
  { path: 'DELETE /lecture/{id}', url: ({ lecture }) => `/lecture/${lecture.id}`, statuses: owning(204) },
  { path: 'POST /lecture/{id}/progress', url: ({ lecture }) => `/lecture/${lecture.id}/progress`, body: () => ({ position_seconds: 1, watched_seconds: 1 }), statuses: studying(403, 200) },
  { path: 'POST /subscribe', body: ({ course }) => ({ course_id: course.id }), statuses: studying(201, 409) },
  { path: 'DELETE /subscribe/{course_id}', statuses: studying(404, 204) },
  { path: 'GET /subscribe/my-courses', statuses: studying(200, 200) },
  { path: 'GET /subscribe/my-courses/{course_id}/lectures', statuses: studying(403, 200) },
  { path: 'GET /subscribe/my-courses/{course_id}/progress', statuses: studying(403, 200) }
]

async function newPeople (server: TestApp): Promise<Scene['people']> {
  const admin = await signUp(server)
  const [student, subscribed, disabled] = [await signUp(server, 'student'), await signUp(server, 'student'), await signUp(server)]
  const [instructor, owner, other] = [await signUp(server), await signUp(server), await signUp(server)]
  // "other" has a course of its own, "instructor" has none.
  await newCourse(server, other)
  await server.query(`update accounts set disabled = 1 where id = '${disabled.id}'`)
  return { nobody: undefined, student, subscribed, instructor, owner, other, admin, disabled }
}

async function newScene (server: TestApp, people: Scene['people']): Promise<Scene> {
  const course = await newCourse(server, people.owner!)
  const lecture = await newLecture(server, people.owner!, course.id, { file: 'tiny.ogg' })
  succeeded(await subscribe(server, people.subscribed!, course.id))
  return { server, people, course, lecture }
}

t.test('every course, lecture and subscription route answers everyone as it should', async (t) => {
  const server = await buildTestApp(t)
  const people = await newPeople(server)
  for (const { path, url, body, form, statuses } of rows) {
    const [method, template] = path.split(' ') as [Method, string]
    let scene = await newScene(server, people)
    const changing = method !== 'GET'
    for (const who of everyone) {
      const target = url?.(scene) ?? template.replace(/\{(id|course_id)\}/, scene.course.id)
      const reply = form === undefined
        ? await call(server, method, target, people[who], body?.(scene))
        : await postForm(server, target, people[who], await form(scene))
      t.equal(reply.statusCode, statuses[who], `${path} by ${who}: ${reply.body.slice(0, 200)}`)
      if (reply.statusCode === 401) t.equal(reply.headers['www-authenticate'], 'Bearer')
      if (changing && reply.statusCode < 300) scene = await newScene(server, people)
    }
  }
})

t.test('of a course or lecture that is not there, one without a token learns nothing', async (t) => {
  const server = await buildTestApp(t)
  const people = await newPeople(server)
  for (const { path, body, form } of rows.filter(({ path }) => path.includes('{') && path !== 'GET /course/{id}')) {
    const [method, template] = path.split(' ') as [Method, string]
    const scene = { server, people, course: { id: 'x' } as Course, lecture: { id: '019377a4-3f00-7000-8000-000000000000' } as Lecture }
    for (const id of ['019377a4-3f00-7000-8000-000000000000', 'nonsense', 'urn:uuid:019377a4-3f00-7000-8000-000000000000', '%00']) {
      const target = template.replace(/\{(id|course_id)\}/, id)
      t.equal((await call(server, method, target, undefined, form === undefined ? body?.(scene) : undefined)).statusCode, 401, `${path} ${id} without a token`)
      const person = template.startsWith('/subscribe') || template.endsWith('/progress') ? people.student : people.owner
      t.equal((await call(server, method, target, person, body?.(scene))).statusCode, 404, `${path} ${id} with one`)
    }
  }
})

t.test('no route is without its row', async (t) => {
  const server = await buildTestApp(t)
  await server.app.ready()
  const { paths } = server.app.swagger() as { paths: Record<string, Record<string, unknown>> }
  const there = Object.entries(paths).filter(([path]) => /^\/(course|lecture|subscribe)(\/|$)/.test(path))
    .flatMap(([path, methods]) => Object.keys(methods).filter((method) => /^(get|post|put|patch|delete)$/.test(method)).map((method) => `${method.toUpperCase()} ${path}`))
  t.same(there.sort(), rows.map(({ path }) => path).sort())
})
