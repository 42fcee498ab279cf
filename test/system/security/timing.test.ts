import { Agent, request } from 'node:http'
import t from 'tap'
import { testEnvironment } from '../../support/test-app.js'
import { startServer } from '../../support/server-process.js'
import { newToken } from '../../support/client.js'
import { figure, median, quantile, sized } from '../../support/measures.js'

// What the time of an answer gives away, and what guessing does to others. The bodies are tested, the times are
// reported.

const EMAIL = 'known@example.org'

t.test('logins', async (t) => {
  const { env } = await testEnvironment(t)
  const { origin } = await startServer(t, env)
  const token = await newToken(origin, EMAIL)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())

  const timed = (path: string, { body, headers = {} }: { body?: object; headers?: Record<string, string> } = {}) =>
    new Promise<{ status: number; text: string; milliseconds: number }>((resolve, reject) => {
      const started = performance.now()
      const payload = body === undefined ? undefined : JSON.stringify(body)
      request(
        origin + path,
        {
          agent,
          method: payload === undefined ? 'GET' : 'POST',
          headers: {
            ...headers,
            ...(payload && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) })
          }
        },
        (response) => {
          let text = ''
          response
            .setEncoding('utf8')
            .on('data', (chunk: string) => {
              text += chunk
            })
            .on('end', () => resolve({ status: response.statusCode!, text, milliseconds: performance.now() - started }))
            .on('error', reject)
        }
      )
        .on('error', reject)
        .end(payload)
    })
  const guess = (email: string) => timed('/auth/login', { body: { email, password: 'a wrong one' } })

  await t.test('of an email that is known and one that is not are answered alike', async (t) => {
    const pairs = sized(8, 500) / 2
    const [known, unknown]: [number[], number[]] = [[], []]
    // The very first makes the hash that unknown ones are compared with.
    await guess('first@example.org')
    for (let index = 0; index < pairs; index++) {
      const replies = new Map<string, Awaited<ReturnType<typeof guess>>>()
      // In turns, and the first of each two in turns.
      for (const email of index % 2 === 0 ? [EMAIL, 'stranger@example.org'] : ['stranger@example.org', EMAIL]) {
        replies.set(email, await guess(email))
      }
      const [one, other] = [replies.get(EMAIL)!, replies.get('stranger@example.org')!]
      known.push(one.milliseconds)
      unknown.push(other.milliseconds)
      const body = ({ text }: { text: string }) => ({ ...(JSON.parse(text) as object), request_id: '' })
      if (one.status !== 401 || JSON.stringify(body(one)) !== JSON.stringify(body(other))) {
        t.fail(`they differ: ${one.text} ${other.text}`)
      }
    }
    const differences = known.map((milliseconds, index) => milliseconds - unknown[index]!)
    figure(
      t,
      `${pairs * 2} interleaved logins: median ${median(known).toFixed(1)} ms for a known email, ` +
        `${median(unknown).toFixed(1)} ms for an unknown one, ${(median(known) - median(unknown)).toFixed(2)} ms ` +
        `apart; median of the differences ${median(differences).toFixed(2)} ms`
    )
  })

  await t.test('do not hold up what others ask', async (t) => {
    let over = false
    let logins = 0
    const guessing = Promise.all(
      Array.from({ length: 8 }, async () => {
        while (!over) {
          await guess(EMAIL)
          logins++
        }
      })
    )
    const times: number[] = []
    for (let index = 0; index < sized(50, 3000); index++) {
      const { status, milliseconds } = await timed('/auth/me', { headers: { authorization: `Bearer ${token}` } })
      if (status !== 200) t.fail(`it was ${status}`)
      times.push(milliseconds)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    over = true
    await guessing
    figure(
      t,
      `GET /auth/me with 8 logins in flight (${logins} in all): median ${median(times).toFixed(1)} ms, p99 ` +
        `${quantile(times, 0.99).toFixed(1)} ms of ${times.length}`
    )
  })
})
