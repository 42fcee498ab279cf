import t from 'tap'
import { buildTestApp, expectProblem } from '../../support/test-app.js'

const { app } = await buildTestApp(t)
const HOUR = 'public, max-age=3600'
const REVALIDATED = 'public, max-age=0'

const assets: Array<[path: string, type: string, cacheControl: string]> = [
  ['/embed/player.js', 'text/javascript; charset=utf-8', HOUR],
  ['/embed/player.css', 'text/css; charset=utf-8', HOUR],
  ['/reset/reset.js', 'text/javascript; charset=utf-8', HOUR],
  ['/reset/reset.css', 'text/css; charset=utf-8', HOUR],
  ['/embed/hls.light.min.js', 'text/javascript; charset=utf-8', HOUR],
  ['/embed/shaka-player.hls-es2021.js', 'text/javascript; charset=utf-8', HOUR],
  ['/redoc', 'text/html; charset=utf-8', REVALIDATED],
  ['/redoc/redoc.standalone.js', 'text/javascript; charset=utf-8', HOUR],
  ['/docs/static/swagger-ui-bundle.js', 'application/javascript; charset=utf-8', REVALIDATED]
]

for (const [url, type, cacheControl] of assets) {
  t.test(`${url} has validators, HEAD and conditional requests (bug: some had none)`, async (t) => {
    const whole = await app.inject({ url })
    const { etag, 'last-modified': modified } = whole.headers as Record<string, string>
    t.equal(whole.statusCode, 200)
    t.match(whole.headers, {
      'content-type': type,
      'cache-control': cacheControl,
      'content-length': String(whole.rawPayload.length),
      'x-content-type-options': 'nosniff',
      etag: /^W\/"[0-9a-f]+-[0-9a-f]+"$/
    })
    t.ok(Date.parse(modified!) <= Date.now())

    const head = await app.inject({ url, method: 'HEAD' })
    t.equal(head.statusCode, 200)
    t.equal(head.rawPayload.length, 0)
    const varying = { date: undefined, 'x-request-id': undefined, 'x-ratelimit-remaining': undefined }
    t.same({ ...head.headers, ...varying }, { ...whole.headers, ...varying }, 'HEAD has the headers of GET')

    for (const [name, value, status] of [
      ['if-none-match', etag, 304],
      ['if-none-match', '*', 304],
      ['if-none-match', '"other"', 200],
      ['if-modified-since', modified, 304],
      ['if-modified-since', 'Mon, 01 Jan 2001 00:00:00 GMT', 200]
    ] as const) {
      for (const method of ['GET', 'HEAD'] as const) {
        const { statusCode, headers, rawPayload } = await app.inject({ url, method, headers: { [name]: value } })
        t.match({ statusCode, headers }, { statusCode: status, headers: { etag } }, `${method} ${name}: ${value}`)
        if (status === 304) t.equal(rawPayload.length, 0)
      }
    }
    const stale = { 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' }
    expectProblem(t, await app.inject({ url, headers: stale }), 412, 'precondition_failed')
    const part = await app.inject({ url, headers: { range: 'bytes=0-9' } })
    t.equal(part.statusCode, 206)
    t.same(part.rawPayload, whole.rawPayload.subarray(0, 10))
    expectProblem(t, await app.inject({ url, headers: { range: 'bytes=99999999-' } }), 416, 'range_not_satisfiable')
  })
}

t.test('the pages of the API keep their policy, and nothing of ReDoc comes from its maker', async (t) => {
  for (const url of ['/docs/', '/docs/static/swagger-ui.css', '/redoc']) {
    t.match(
      (await app.inject({ url })).headers['content-security-policy'],
      /^default-src 'self'; .*frame-ancestors 'none'$/
    )
  }
  t.notMatch((await app.inject('/redoc/redoc.standalone.js')).body, 'cdn.redoc.ly')
})
