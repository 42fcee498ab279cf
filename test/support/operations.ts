import type { InjectOptions, Response } from 'light-my-request'
import { keyOf } from './api-keys.js'
import { courseText, lectureText, newCourse, newLecture, part, subscribe } from './courses.js'
import type { TestApp } from './test-app.js'
import {
  form,
  mintLink,
  mintOriginalLink,
  signUp,
  succeeded,
  textParts,
  upload,
  type FormPart,
  type Person
} from './client.js'
import { fixture } from './fixtures.js'
import { addTexts, captionBody, chapterList } from './captions.js'
import { protectedMedia } from './protected-server.js'

// Every operation of the API: how it is called, and what each kind of caller gets. A route that openapi.json names and
// this table does not fails test/api/security/matrix.test.ts; the fuzz and the search for leaks walk the same table.

/**
 * In the order of the cells: no token, student, subscribed student, instructor, owner, instructor with a course of
 * their own, admin, disabled account.
 */
export const everyone = [
  'nobody',
  'student',
  'subscribed',
  'instructor',
  'owner',
  'other',
  'admin',
  'disabled'
] as const
export type Who = (typeof everyone)[number]
export type Server = Pick<TestApp, 'inject'>

/** One server's people, and what none of the calls changes. */
export interface World {
  server: Server
  people: Record<Who, Person | undefined>
  hlsPath: string
}

/** What belongs to `owner`; made again after a call that changed it. */
export interface Scene extends World {
  courseId: string
  lectureId: string
  /** The media of the lecture. */
  courseMediaId: string
  privateMediaId: string
  publicMediaId: string
  /** Path and query, minted for the owner of the private media. */
  link: string
}

export type Cells = Record<Who, number>
export interface Case {
  /** Which of the things an operation may be called on. */
  on?: string
  send?: (scene: Scene, who: Who) => InjectOptions | Promise<InjectOptions>
  cells: Cells
  /** A text that is only in the reply to these, among those who get one. */
  shows?: { text: (scene: Scene) => string; to: Who[] }
}

const cells = (
  ...[nobody, student, subscribed, instructor, owner, other, admin, disabled]: [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number
  ]
): Cells => ({ nobody, student, subscribed, instructor, owner, other, admin, disabled })
const forAll = (status: number) => cells(status, status, status, status, status, status, status, status)
const forAccounts = (status: number) => cells(401, status, status, status, status, status, status, 401)
const forTeachers = (status: number) => cells(401, 403, 403, status, status, status, status, 401)
const forAdmins = (status: number) => cells(401, 403, 403, 403, 403, 403, status, 401)
const forStudents = (status: number, subscribed: number) => cells(401, status, subscribed, 403, 403, 403, 403, 401)
const forTheCourse = (status: number) => cells(401, 403, 403, 403, status, 403, status, 401)
const forTheKey = (status: number) => cells(401, 404, 404, 404, status, 404, status, 401)

/** The three kinds of media: who may watch, by whether a token is needed for a public one. */
const watching = (
  status: number,
  publicly: number
): Array<[on: 'privateMediaId' | 'courseMediaId' | 'publicMediaId', Cells]> => [
  ['privateMediaId', cells(401, 404, 404, 404, status, 404, status, 401)],
  ['courseMediaId', cells(401, 404, status, 404, status, 404, status, 401)],
  ['publicMediaId', cells(publicly, status, status, status, status, status, status, 401)]
]
/** Who may change: whoever may watch learns that it is not theirs, others nothing. */
const changing = (status: number, ofCourse = status): ReturnType<typeof watching> => [
  ['privateMediaId', cells(401, 404, 404, 404, status, 404, status, 401)],
  ['courseMediaId', cells(401, 404, 403, 404, ofCourse, 404, ofCourse, 401)],
  ['publicMediaId', cells(401, 403, 403, 403, status, 403, status, 401)]
]
const onMedia = (kinds: ReturnType<typeof watching>, path: (id: string) => string, payload?: object): Case[] =>
  kinds.map(([on, expected]) => ({
    on,
    send: (scene) => ({ url: path(scene[on]), ...(payload && { payload }) }),
    cells: expected
  }))

const multipart = async (url: string, parts: Array<FormPart | Promise<FormPart>>): Promise<InjectOptions> => ({
  url,
  ...form(await Promise.all(parts))
})
const query = (link: string) => link.slice(link.indexOf('?'))
const forged = (link: string) => `${link.slice(0, -1)}${link.endsWith('A') ? 'E' : 'A'}`
/** A file beside the stream, which opens by the same link or by a token. */
const byLink = (file: string): Case[] => [
  ...onMedia(watching(200, 401), (id) => `/media/${id}/${file}`),
  {
    on: 'a link',
    send: ({ privateMediaId, link }) => ({ url: `/media/${privateMediaId}/${file}${query(link)}` }),
    cells: forAll(200)
  },
  {
    on: 'a forged link',
    send: ({ privateMediaId, link }) => ({ url: `/media/${privateMediaId}/${file}${query(forged(link))}` }),
    cells: forAll(403)
  }
]
let people = 0
const email = () => `new-${++people}@example.org`
const password = 'secure_password123'
const newRefreshToken = async (server: Server) =>
  succeeded(await server.inject({ method: 'POST', url: '/auth/signup', payload: { email: email(), password } })).json<{
    refresh_token: string
  }>().refresh_token
/** Returns the token of a reset link, for an account that nobody else uses. */
const newResetToken = async (server: Server, { headers }: Person) => {
  const account = { email: email(), password, role: 'student' }
  const created = await server.inject({ method: 'POST', url: '/users', headers, payload: account })
  const { id } = succeeded(created).json<{ id: string }>()
  const link = succeeded(await server.inject({ method: 'POST', url: `/users/${id}/reset-link`, headers }))
  return link.json<{ reset_url: string }>().reset_url.split('#')[1]!
}
const smallGrant = { max_bytes: 100_000 }
/** An upload grant of the owner, and the path of its URL. */
async function grantOf ({ server, people }: World): Promise<{ id: string; path: string }> {
  const made = await server.inject({
    method: 'POST',
    url: '/upload-grants',
    headers: people.owner!.headers,
    payload: smallGrant
  })
  const { id, upload_url: url } = succeeded(made).json<{ id: string; upload_url: string }>()
  return { id, path: new URL(url).pathname }
}
const linked = { title: 'A talk', type: 'video', file_url: 'https://cdn.example.org/talk.mp4' }

const tusHeaders = { 'tus-resumable': '1.0.0' }
const newUpload = { headers: { ...tusHeaders, 'upload-length': '9', 'upload-metadata': 'title QQ==' } }
/** A request on a new upload of the owner. As a part, it is empty. */
const onUpload = async ({ server, people }: Scene): Promise<InjectOptions> => {
  const headers = { ...newUpload.headers, ...people.owner!.headers }
  const reply = succeeded(await server.inject({ method: 'POST', url: '/media/uploads', headers }))
  const part = { 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' }
  return { url: String(reply.headers.location), headers: { ...tusHeaders, ...part } }
}

/**
 * By method and path, as openapi.json writes them. Where no `send` is given, the path is called, with `{id}` that of
 * the course.
 */
export const operations: Record<string, Case[]> = {
  'GET /': [{ cells: forAll(200) }],
  'GET /health': [{ cells: forAll(200) }],
  'GET /livez': [{ cells: forAll(200) }],
  'GET /readyz': [{ cells: forAll(200) }],
  // By the METRICS_TOKEN, or from this machine: no account matters.
  'GET /metrics': [{ cells: forAll(200) }],
  'GET /problems/{code}': [{ send: () => ({ url: '/problems/not_found' }), cells: forAll(200) }],

  'POST /auth/signup': [{ send: () => ({ payload: { email: email(), password } }), cells: forAll(201) }],
  'POST /auth/register': [
    {
      send: () => ({
        payload: {
          first_name: 'A',
          last_name: 'B',
          email: email(),
          password,
          date_of_birth: '1990-01-01',
          mobile_number: `+2${1e10 + ++people}`,
          role: 'student'
        }
      }),
      cells: forAll(201)
    }
  ],
  'POST /auth/login': [
    {
      on: 'their own account',
      send: ({ people }, who) => ({ payload: { email: (people[who] ?? people.owner!).email, password } }),
      cells: cells(200, 200, 200, 200, 200, 200, 200, 403)
    },
    {
      on: 'a wrong password',
      send: ({ people }, who) => ({
        payload: { email: people[who]?.email ?? 'nobody@example.org', password: 'a wrong one' }
      }),
      cells: forAll(401)
    }
  ],
  'GET /auth/me': [{ cells: forAccounts(200) }],
  'POST /auth/refresh': [
    {
      on: 'a refresh token',
      send: async ({ server }) => ({ payload: { refresh_token: await newRefreshToken(server) } }),
      cells: forAll(200)
    },
    { on: 'a made-up one', send: () => ({ payload: { refresh_token: 'x'.repeat(43) } }), cells: forAll(401) }
  ],
  'POST /auth/logout': [
    {
      on: 'a refresh token',
      send: async ({ server }) => ({ payload: { refresh_token: await newRefreshToken(server) } }),
      cells: forAll(204)
    },
    { on: 'a session', send: async ({ server }) => ({ headers: (await signUp(server)).headers }), cells: forAll(204) },
    { on: 'nothing', send: () => ({ headers: { authorization: '' } }), cells: forAll(401) }
  ],
  'POST /auth/password': [
    {
      on: 'the right password',
      send: () => ({ payload: { current_password: password, new_password: password } }),
      cells: forAccounts(204)
    },
    {
      on: 'a wrong one',
      send: () => ({ payload: { current_password: 'a wrong one', new_password: password } }),
      cells: forAccounts(403)
    }
  ],
  'GET /users': [
    {
      send: () => ({ url: '/users?size=100' }),
      cells: forAdmins(200),
      shows: { text: ({ people }) => people.owner!.email, to: ['admin'] }
    }
  ],
  'GET /users/{id}': [{ send: ({ people }) => ({ url: `/users/${people.owner!.id}` }), cells: forAdmins(200) }],
  'PATCH /users/{id}': [
    {
      on: 'another',
      send: ({ people }) => ({ url: `/users/${people.other!.id}`, payload: { role: 'instructor' } }),
      cells: forAdmins(200)
    },
    {
      on: 'themselves',
      send: ({ people }, who) => ({ url: `/users/${(people[who] ?? people.owner!).id}`, payload: { role: 'admin' } }),
      cells: forAdmins(200)
    }
  ],
  'POST /users': [{ send: () => ({ payload: { email: email(), password, role: 'admin' } }), cells: forAdmins(201) }],

  'POST /users/{id}/reset-link': [
    { send: ({ people }) => ({ url: `/users/${people.other!.id}/reset-link` }), cells: forAdmins(201) }
  ],
  'POST /auth/reset': [
    {
      on: 'a reset link',
      send: async ({ server, people }) => ({
        payload: { token: await newResetToken(server, people.admin!), password }
      }),
      cells: forAll(204)
    },
    { on: 'a made-up one', send: () => ({ payload: { token: 'x'.repeat(43), password } }), cells: forAll(403) }
  ],
  'GET /reset': [{ cells: forAll(200) }],
  'POST /api-keys': [
    { send: () => ({ payload: { name: 'A program', scopes: ['uploads'] } }), cells: forAccounts(201) }
  ],
  'GET /api-keys': [{ cells: forAccounts(200) }],
  'GET /users/{id}/api-keys': [
    { send: ({ people }) => ({ url: `/users/${people.owner!.id}/api-keys` }), cells: forAdmins(200) }
  ],
  'PATCH /api-keys/{id}': [
    {
      send: async ({ server, people }) => ({
        url: `/api-keys/${await keyOf(server, people.owner!)}`,
        payload: { name: 'New' }
      }),
      cells: forTheKey(200)
    }
  ],
  'DELETE /api-keys/{id}': [
    {
      send: async ({ server, people }) => ({ url: `/api-keys/${await keyOf(server, people.owner!)}` }),
      cells: forTheKey(204)
    }
  ],

  'GET /media': [
    { cells: forAccounts(200), shows: { text: ({ privateMediaId }) => privateMediaId, to: ['owner', 'admin'] } }
  ],
  'POST /media': [
    { on: 'an address', send: () => ({ payload: linked }), cells: forTeachers(201) },
    {
      on: 'a file',
      send: () => multipart('/media', [...textParts({ title: 'A', type: 'audio' }), part('tiny.ogg', 'file')]),
      cells: forTeachers(201)
    }
  ],
  'POST /media/preflight': [
    { send: () => ({ payload: { sha256: 'a'.repeat(64), size_bytes: 1000 } }), cells: forTeachers(200) },
    {
      on: 'a file that nobody has, to create a media',
      send: () => ({ payload: { sha256: 'a'.repeat(64), size_bytes: 1000, create: true, title: 'A' } }),
      cells: forTeachers(200)
    }
  ],
  'POST /upload-grants': [{ send: () => ({ payload: smallGrant }), cells: forTeachers(201) }],
  'GET /upload-grants': [{ cells: forTeachers(200) }],
  'GET /upload-grants/{id}': [
    {
      send: async (scene) => ({ url: `/upload-grants/${(await grantOf(scene)).id}` }),
      cells: cells(401, 403, 403, 404, 200, 404, 200, 401)
    }
  ],
  'DELETE /upload-grants/{id}': [
    {
      send: async (scene) => ({ url: `/upload-grants/${(await grantOf(scene)).id}` }),
      cells: cells(401, 403, 403, 404, 204, 404, 204, 401)
    }
  ],
  'PUT /granted-uploads/{token}': [
    {
      on: 'a grant',
      send: async (scene) => ({ url: (await grantOf(scene)).path, payload: await fixture('tiny.ogg') }),
      cells: forAll(201)
    },
    {
      on: 'a forged grant',
      send: async (scene) => ({ url: forged((await grantOf(scene)).path), payload: await fixture('tiny.ogg') }),
      cells: forAll(403)
    }
  ],
  'PUT /media/uploads': [
    {
      send: async () => ({ url: '/media/uploads?title=A&type=audio', payload: await fixture('tiny.ogg') }),
      cells: forTeachers(201)
    }
  ],
  'POST /media/uploads': [{ send: () => newUpload, cells: forTeachers(201) }],
  'GET /media/uploads': [{ cells: forTeachers(200) }],
  'OPTIONS /media/uploads': [{ cells: forAll(204) }],
  'OPTIONS /media/uploads/{id}': [{ cells: forAll(204) }],
  ...Object.fromEntries(
    ([['HEAD', 200], ['PATCH', 204], ['DELETE', 204]] as const).map(([method, status]) => [
      `${method} /media/uploads/{id}`,
      [{ on: 'an open upload of the owner', send: onUpload, cells: cells(401, 403, 403, 404, status, 404, 404, 401) }]
    ])
  ),
  'GET /media/{id}': onMedia(watching(200, 200), (id) => `/media/${id}`).map((one) => ({
    ...one,
    shows: { text: () => '"file_url"', to: ['owner', 'admin'] }
  })),
  'PATCH /media/{id}': onMedia(changing(200), (id) => `/media/${id}`, { title: 'New' }),
  'DELETE /media/{id}': onMedia(changing(204, 409), (id) => `/media/${id}`),
  'GET /media/{id}/stream-url': onMedia(watching(200, 200), (id) => `/media/${id}/stream-url`),
  'DELETE /media/{id}/stream-url': onMedia(changing(204), (id) => `/media/${id}/stream-url`),
  'GET /media/{id}/views': onMedia(changing(200), (id) => `/media/${id}/views`),
  'GET /media/{id}/analytics': onMedia(changing(200), (id) => `/media/${id}/analytics`),
  'POST /media/{id}/view': [
    ...onMedia(watching(200, 200), (id) => `/media/${id}/view`),
    {
      on: 'a link',
      send: ({ privateMediaId, link }) => ({ url: `/media/${privateMediaId}/view${query(link)}` }),
      cells: forAll(200)
    },
    {
      on: 'a forged link',
      send: ({ privateMediaId, link }) => ({ url: `/media/${privateMediaId}/view${query(forged(link))}` }),
      cells: forAll(403)
    }
  ],
  'GET /media/stream/{id}': [
    ...onMedia(watching(200, 401), (id) => `/media/stream/${id}`),
    { on: 'a link', send: ({ link }) => ({ url: link }), cells: forAll(200) },
    { on: 'a forged link', send: ({ link }) => ({ url: forged(link) }), cells: forAll(403) },
    {
      on: 'the link of another media',
      send: ({ link, courseMediaId }) => ({ url: `/media/stream/${courseMediaId}${query(link)}` }),
      cells: forAll(403)
    }
  ],
  'GET /media/{id}/poster.jpg': byLink('poster.jpg'),
  'GET /media/{id}/captions': onMedia(watching(200, 200), (id) => `/media/${id}/captions`),
  'GET /media/{id}/captions/{lang}': onMedia(watching(200, 200), (id) => `/media/${id}/captions/en`),
  'PUT /media/{id}/captions/{lang}': onMedia(changing(201), (id) => `/media/${id}/captions/de`).map((one) => ({
    ...one,
    send: async (scene) => ({ ...(await one.send!(scene, 'owner')), ...captionBody })
  })),
  'DELETE /media/{id}/captions/{lang}': onMedia(changing(204), (id) => `/media/${id}/captions/en`),
  'GET /media/{id}/captions/{lang}.vtt': byLink('captions/en.vtt'),
  'GET /media/{id}/chapters': onMedia(watching(200, 200), (id) => `/media/${id}/chapters`),
  'PUT /media/{id}/chapters': onMedia(changing(200), (id) => `/media/${id}/chapters`, chapterList),
  'DELETE /media/{id}/chapters': onMedia(changing(204), (id) => `/media/${id}/chapters`),
  'GET /media/{id}/chapters.vtt': byLink('chapters.vtt'),
  'GET /media/{id}/player.json': byLink('player.json'),
  'GET /media/{id}/original-url': onMedia(changing(200), (id) => `/media/${id}/original-url`),
  'GET /media/{id}/original': [
    ...onMedia(changing(200), (id) => `/media/${id}/original`),
    {
      on: 'a link',
      send: async ({ server, people, privateMediaId }) => ({
        url: await mintOriginalLink(server, privateMediaId, people.owner!)
      }),
      cells: forAll(200)
    },
    {
      on: 'a forged link',
      send: async ({ server, people, privateMediaId }) => ({
        url: forged(await mintOriginalLink(server, privateMediaId, people.owner!))
      }),
      cells: forAll(403)
    },
    {
      on: 'a link to the stream',
      send: ({ privateMediaId, link }) => ({ url: `/media/${privateMediaId}/original${query(link)}` }),
      cells: forAll(403)
    }
  ],
  ...Object.fromEntries(
    [
      'master.m3u8',
      'media.m3u8',
      'content.key',
      'segment-{number}.ts',
      'poster.jpg',
      'player.json',
      'captions-{lang}.m3u8',
      'captions-{lang}.vtt',
      'chapters.vtt'
    ].map((file) => [
      `GET /hls/{token}/{id}/${file}`,
      casesOfPackage(file.replace('{number}', '0').replace('{lang}', 'en'))
    ])
  ),
  // What a signature opens, a made-up one does not; what genuine ones open is in test/api/protection/mux.test.ts and
  // mux-webhooks.test.ts.
  'GET /embed/{id}/playback': [
    {
      on: 'a made-up token',
      send: ({ privateMediaId }) => ({ url: `/embed/${privateMediaId}/playback?token=a.b.c` }),
      cells: forAll(403)
    }
  ],
  'POST /webhooks/mux': [
    { on: 'a server without Mux', send: () => ({ payload: { type: 'video.asset.ready' } }), cells: forAll(404) }
  ],
  'GET /embed/{id}': [{ send: ({ privateMediaId }) => ({ url: `/embed/${privateMediaId}` }), cells: forAll(200) }],

  'GET /course/all': [{ cells: forAll(200) }],
  'GET /course/{id}': [{ cells: forAll(200) }],
  'POST /course': [{ send: () => ({ payload: courseText }), cells: forTeachers(201) }],
  'GET /course/mine': [{ cells: forTeachers(200), shows: { text: ({ courseId }) => courseId, to: ['owner'] } }],
  'PATCH /course/{id}': [{ send: () => ({ payload: { title: 'New' } }), cells: forTheCourse(200) }],
  'DELETE /course/{id}': [{ cells: forTheCourse(204) }],
  'GET /course/{id}/lectures': [{ cells: forTheCourse(200) }],
  'PUT /course/{id}/lectures/order': [
    { send: ({ lectureId }) => ({ payload: { lecture_ids: [lectureId] } }), cells: forTheCourse(200) }
  ],
  'GET /course/{id}/analytics': [{ cells: forTheCourse(200) }],
  'POST /course/add-lecture': [
    {
      send: ({ courseId }) =>
        multipart('/course/add-lecture', [...textParts({ ...lectureText, course_id: courseId }), part('tiny.ogg')]),
      cells: forTheCourse(201)
    }
  ],
  'POST /course/add-lectures-batch': [
    {
      send: ({ courseId }) =>
        multipart('/course/add-lectures-batch', [
          ...textParts({ lectures_data: JSON.stringify([{ ...lectureText, course_id: courseId }]) }),
          part('tiny.ogg', 'lectures_files')
        ]),
      // The entry for another's course fails by itself, and it is the only one.
      cells: cells(401, 403, 403, 422, 201, 422, 201, 401)
    }
  ],
  'PATCH /lecture/{id}': [
    { send: ({ lectureId }) => ({ url: `/lecture/${lectureId}`, payload: { title: 'New' } }), cells: forTheCourse(200) }
  ],
  'DELETE /lecture/{id}': [{ send: ({ lectureId }) => ({ url: `/lecture/${lectureId}` }), cells: forTheCourse(204) }],
  'POST /lecture/{id}/progress': [
    {
      send: ({ lectureId }) => ({
        url: `/lecture/${lectureId}/progress`,
        payload: { position_seconds: 1, watched_seconds: 1 }
      }),
      cells: forStudents(403, 200)
    }
  ],

  'POST /subscribe': [{ send: ({ courseId }) => ({ payload: { course_id: courseId } }), cells: forStudents(201, 409) }],
  'DELETE /subscribe/{course_id}': [{ cells: forStudents(404, 204) }],
  'GET /subscribe/my-courses': [
    { cells: forStudents(200, 200), shows: { text: ({ courseId }) => courseId, to: ['subscribed'] } }
  ],
  'GET /subscribe/my-courses/{course_id}/lectures': [{ cells: forStudents(403, 200) }],
  'GET /subscribe/my-courses/{course_id}/progress': [{ cells: forStudents(403, 200) }]
}

/** Routes that openapi.json leaves out: pages, their files, and figures. */
export const hidden: Record<string, Cells> = {
  'GET /openapi.json': forAll(200),
  'GET /redoc': forAll(200),
  'GET /redoc/redoc.standalone.js': forAll(200),
  'GET /docs': forAll(200),
  'GET /docs/static/swagger-ui.css': forAll(200),
  'GET /embed/player.js': forAll(200),
  'GET /reset/reset.js': forAll(200),
  'GET /reset/reset.css': forAll(200),
  // From this machine; from others only with METRICS_TOKEN (test/api/service/service.test.ts).
  'GET /metrics': forAll(200)
}

/** The people of a fresh server, and a protected media of the owner's; the server listens then. */
export async function newWorld (server: TestApp): Promise<World> {
  const admin = await signUp(server)
  const [student, subscribed, disabled] = [
    await signUp(server, 'student'),
    await signUp(server, 'student'),
    await signUp(server)
  ]
  const [instructor, owner, other] = [await signUp(server), await signUp(server), await signUp(server)]
  await newCourse(server, other)
  await server.query(`update accounts set disabled = 1 where id = '${disabled.id}'`)
  const protectedId = await protectedMedia(server, owner)
  await addTexts(server, protectedId, owner)
  const hlsPath = await mintLink(server, protectedId, owner)
  return {
    server,
    people: { nobody: undefined, student, subscribed, instructor, owner, other, admin, disabled },
    hlsPath
  }
}

export async function newScene (server: TestApp, world: World): Promise<Scene> {
  const [owner, subscribed] = [world.people.owner!, world.people.subscribed!]
  const media = async (visibility: string) =>
    succeeded(await upload(server, owner, 'tiny.ogg', { type: 'audio', visibility })).json<{ id: string }>().id
  const course = await newCourse(server, owner)
  const lecture = await newLecture(server, owner, course.id, { file: 'tiny.ogg' })
  succeeded(await subscribe(server, subscribed, course.id))
  const [privateMediaId, publicMediaId] = [await media('private'), await media('public')]
  for (const id of [privateMediaId, publicMediaId, lecture.asset_id]) await addTexts(server, id, owner)
  // Only ffmpeg makes posters, and any file will do to test who may have one.
  await server.query('update media set poster_blob = blob_name where poster_blob is null and package_blob is null')
  return {
    ...world,
    courseId: course.id,
    lectureId: lecture.id,
    courseMediaId: lecture.asset_id,
    privateMediaId,
    publicMediaId,
    link: await mintLink(server, privateMediaId, owner)
  }
}

/** Calls an operation as somebody. */
export async function callAs (
  server: Server,
  name: string,
  { send }: Case,
  scene: Scene,
  who: Who,
  more: InjectOptions = {}
): Promise<Response> {
  const [method, template] = name.split(' ') as ['GET', string]
  const {
    url = template.replace(/\{\w+\}/, scene.courseId),
    headers,
    ...sent
  } = (await send?.(scene, who)) ?? {}
  return await server.inject({
    method,
    url,
    ...sent,
    ...more,
    headers: { ...scene.people[who]?.headers, ...headers, ...more.headers }
  })
}

/** False for a call that leaves the scene as it was, or adds to it. */
export function changesScene (name: string): boolean {
  return !/^(GET |POST \/(auth|users|media$|course|api-keys|upload-grants))/.test(name) && !name.endsWith('/view')
}

/** What openapi.json says of each operation. */
export interface Description {
  operationId: string
  security?: object[]
  parameters?: Array<{ name: string; in: 'path' | 'query' | 'header'; schema: Schema; required?: boolean }>
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, unknown>
}
/** As much of JSON Schema as the API uses. */
export interface Schema {
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  format?: string
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
}

/** Every operation of openapi.json, by `METHOD /path`. */
export async function describedOperations ({ app }: Pick<TestApp, 'app'>): Promise<Map<string, Description>> {
  await app.ready()
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Description>> }
  return new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation])
    )
  )
}

/** Requests for one file of a protected media: it has no picture, which needs ffmpeg. */
function casesOfPackage (file: string): Case[] {
  const urlOf = (hlsPath: string) => hlsPath.replace('master.m3u8', file)
  return [
    { on: file, send: ({ hlsPath }) => ({ url: urlOf(hlsPath) }), cells: forAll(file === 'poster.jpg' ? 404 : 200) },
    {
      on: 'a forged token',
      send: ({ hlsPath }) => ({
        url: urlOf(hlsPath).replace(/[^/](?=\/[^/]+\/[^/]+$)/, (last) => (last === 'A' ? 'E' : 'A'))
      }),
      cells: forAll(403)
    },
    {
      on: 'a token for another media',
      send: ({ hlsPath, privateMediaId }) => ({ url: urlOf(hlsPath).replace(/[^/]+(?=\/[^/]+$)/, privateMediaId) }),
      cells: forAll(403)
    }
  ]
}
