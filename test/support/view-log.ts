import type { Test } from 'tap'
import type { Difference } from '../../src/views/view-maintenance.js'
import { buildTestApp } from './test-app.js'
import { signUp, upload } from './client.js'
import { playgate } from './playgate.js'

export const DAY = 86_400_000
export const today = Math.floor(Date.now() / DAY)
export const isoDay = (day: number) => new Date(day * DAY).toISOString().slice(0, 10)

interface Report {
  differences: Difference[]
  fixed: boolean
}

/** A server with a media that has five views from two addresses today, and the commands on its database. */
export async function setUp (t: Test) {
  const server = await buildTestApp(t)
  const owner = await signUp(server)
  const { id } = (await upload(server, owner, 'tiny.mp4', { visibility: 'public' })).json<{ id: string }>()
  const view = (remoteAddress: string) => server.inject({ method: 'POST', url: `/media/${id}/view`, remoteAddress })
  for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.2']) await view(address)
  const analytics = async () =>
    (await server.inject({ url: `/media/${id}/analytics`, headers: owner.headers })).json<Record<string, unknown>>()
  const run = (...args: string[]) => playgate(server.env, args)
  const recount = async (...args: string[]) => {
    const { code, json } = await run('recount', '--json', ...args)
    return { code, ...json<Report>() }
  }
  /** Log rows and roll-ups of `views` on a day, as the server would have written them then. */
  const viewsOn = async (day: number, views: number, address: string) => {
    for (let left = views; left > 0; left -= 1000) {
      const rows = Array.from(
        { length: Math.min(left, 1000) },
        (_, index) => `('${id}', '${address}', '${address}', ${day * DAY + index})`
      )
      await server.query(`insert into views (media_id, address, address_key, viewed_at) values ${rows.join()}`)
    }
    await server.query(`insert into view_days (media_id, day, views) values ('${id}', ${day}, ${views})`)
    await server.query(`insert into view_viewers (media_id, address_key) values ('${id}', '${address}')`)
    await server.query(
      `update view_totals set total_views = total_views + ${views}, unique_viewers = unique_viewers + 1`
    )
  }
  const logged = async () => Number((await server.query<{ n: unknown }>('select count(*) as n from views'))[0]!.n)
  return { server, owner, id, view, analytics, run, recount, viewsOn, logged }
}
