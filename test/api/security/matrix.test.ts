import t from 'tap'
import { buildTestApp, type TestApp } from '../../support/test-app.js'
import {
  callAs,
  changesScene,
  describedOperations,
  everyone,
  hidden,
  newScene,
  newWorld,
  operations,
  type Case
} from '../../support/operations.js'

// Every route × role × ownership: what each caller gets is in test/support/operations.ts.

/** Every route of the router, as `METHOD /path`, from the tree that it prints. */
function routesOf ({ app }: TestApp): string[] {
  const above: string[] = []
  return app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap((line) => {
      const [, indent, path, methods] =
        /^([\s│]*)[├└]── (\S*) \(([^)]*)\)/.exec(line) ?? /^([\s│]*)[├└]── (\S*)/.exec(line) ?? []
      if (path === undefined) return []
      const depth = indent!.length / 4
      above.length = depth
      above[depth] = path
      return (methods?.split(', ') ?? []).map((method) => `${method} ${above.join('')}`)
    })
}

t.test('the authorization matrix', async (t) => {
  const server = await buildTestApp(t)
  const descriptions = await describedOperations(server)
  const world = await newWorld(server)

  t.test('no route is without its cells, and no cells without their route', async (t) => {
    t.same(Object.keys(operations).sort(), [...descriptions.keys()].sort())
    const template = (path: string) => path.replaceAll(/:(\w+)/g, '{$1}')
    const shown = (route: string) => descriptions.has(route) || descriptions.has(route.replace('HEAD ', 'GET '))
    const left = routesOf(server)
      .map(template)
      .filter((route) => !shown(route) && !/^(OPTIONS|HEAD) /.test(route))
    t.ok(routesOf(server).length > 60, 'the tree was read')
    for (const route of left) {
      const pattern = new RegExp(
        `^${route
          .replaceAll(/[.+?^$()|[\]\\]/g, '\\$&')
          .replaceAll('*', '.+')
          .replace(/\/$/, '/?')}$`
      )
      t.ok(
        Object.keys(hidden).some((known) => pattern.test(known)) || /^GET \/(embed|docs)\//.test(route),
        `${route} is in openapi.json, or hidden and listed`
      )
    }
  })

  t.test('every operation answers everyone as it should', async (t) => {
    let scene = await newScene(server, world)
    for (const [name, cases] of Object.entries(operations)) {
      const operation = descriptions.get(name)!
      for (const one of cases) {
        for (const who of everyone) {
          const reply = await callAs(server, name, one, scene, who)
          const cell = `${name} ${one.on ?? ''} by ${who}`
          t.equal(reply.statusCode, one.cells[who], `${cell}: ${reply.body.slice(0, 200)}`)
          t.ok(String(reply.statusCode) in operation.responses, `${cell}: ${reply.statusCode} is described`)
          if (reply.statusCode === 401) t.equal(reply.headers['www-authenticate'], 'Bearer', cell)
          if (reply.statusCode < 300 && one.shows !== undefined) {
            t.equal(reply.body.includes(one.shows.text(scene)), one.shows.to.includes(who), `${cell}: what it shows`)
          }
          if (name.startsWith('GET ')) {
            t.equal(
              (await callAs(server, name, one, scene, who, { method: 'HEAD' })).statusCode,
              one.cells[who],
              `${cell}: HEAD`
            )
          } else if (reply.statusCode < 300 && changesScene(name)) scene = await newScene(server, world)
        }
      }
    }
  })

  t.test('whether a token is needed is what the description says', async (t) => {
    for (const [name, { security }] of descriptions) {
      const needed =
        security === undefined || (security.length > 0 && !security.some((one) => Object.keys(one).length === 0))
      const open = (one: Case) => one.cells.nobody < 300
      t.equal(
        operations[name]!.every((one) => one.cells.nobody === 401),
        needed,
        `${name}: nobody is let in where a token is needed`
      )
      // A signature is asked for in place of a token.
      if (security?.length === 0 && !/\{token\}|playback|webhooks/.test(name)) {
        t.ok(operations[name]!.some(open), `${name} is open`)
      }
    }
  })

  t.test('of what is not there, one without a token learns nothing', async (t) => {
    const scene = await newScene(server, world)
    for (const [name, [one]] of Object.entries(operations)) {
      const [, path] = name.split(' ') as [string, string]
      if (!/\{\w+\}/.test(path) || one!.cells.nobody !== 401) continue
      const able = everyone.find((who) => one!.cells[who] < 300)!
      for (const id of [
        '019377a4-3f00-7000-8000-000000000000',
        'nonsense',
        'urn:uuid:019377a4-3f00-7000-8000-000000000000',
        '%00'
      ]) {
        const { payload, headers } = (await one!.send?.(scene, able)) ?? {}
        const url = path.replace(/\{\w+\}/, id)
        const send = () => ({ url, headers, ...(payload !== undefined && { payload }) })
        const statuses = await Promise.all(
          (['nobody', able] as const).map(
            async (who) => (await callAs(server, name, { cells: one!.cells, send }, scene, who)).statusCode
          )
        )
        t.same(statuses, [401, 404], `${name} ${id} without a token, and by ${able}`)
      }
    }
  })

  t.test('what the description leaves out is open to everyone', async (t) => {
    const scene = await newScene(server, world)
    for (const [name, expected] of Object.entries(hidden)) {
      for (const who of everyone) {
        t.equal(
          (await callAs(server, name, { cells: expected }, scene, who)).statusCode,
          expected[who],
          `${name} by ${who}`
        )
      }
    }
  })
})
