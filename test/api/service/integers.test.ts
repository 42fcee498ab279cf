import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { newScene, newWorld } from '../../support/operations.js'

interface Schema {
  type?: string
  anyOf?: Schema[]
}
interface Parameter {
  name: string
  in: string
  schema: Schema
}
type Paths = Record<string, Record<string, { parameters?: Parameter[] }>>

const isInteger = ({ type, anyOf }: Schema): boolean => type === 'integer' || anyOf?.some(isInteger) === true

t.test('integers of query strings are decimal digits: 1e3, 0x10, 1.5 and spaces are 422, on all routes', async (t) => {
  const server = await buildTestApp(t)
  const { people, publicMediaId, courseId } = await newScene(server, await newWorld(server))
  const { paths } = (await server.inject({ url: '/openapi.json' })).json<{ paths: Paths }>()
  let asked = 0
  for (const [path, operations] of Object.entries(paths)) {
    const url = path.replace('{id}', path.startsWith('/course') ? courseId : publicMediaId)
    for (const { name, schema } of operations.get?.parameters?.filter((one) => one.in === 'query') ?? []) {
      if (!isInteger(schema)) continue
      for (const value of ['1e1', '0x10', '1.5', '1.0', '%2010', '10%20', '%2B10', '1_0', '', 'Infinity', '%D9%A3']) {
        const headers =
          people[url.startsWith('/subscribe') ? 'subscribed' : url === '/course/mine' ? 'owner' : 'admin']!.headers
        const reply = await server.inject({ url: `${url}?${name}=${value}`, headers })
        const errors = reply.json<{ errors?: Array<{ path: string }> }>().errors
        t.match(
          { status: reply.statusCode, errors },
          { status: 422, errors: [{ path: name }] },
          `${url}?${name}=${value}`
        )
        asked++
      }
      t.equal((await server.inject({ url: `${url}?${name}=1`, headers: people.admin!.headers })).statusCode < 500, true)
    }
  }
  t.ok(asked > 100, `${asked} requests were made`)
})
