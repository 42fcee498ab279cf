import Mux, { APIError } from '@mux/mux-node'
import { createPrivateKey } from 'node:crypto'
import t from 'tap'
import { faultOf } from '../../../src/protection/mux/mux-fault.js'
import { signPlaybackToken, verifyPlaybackToken } from '../../../src/protection/mux/playback-token.js'
import { readToken } from '../../support/mux-double.js'
import { startMux } from '../../support/mux-server.js'

const mux = await startMux(t)
const env = mux.environment()
const client = new Mux({
  tokenId: env.MUX_TOKEN_ID!,
  tokenSecret: env.MUX_TOKEN_SECRET!,
  baseURL: mux.origin,
  jwtSigningKey: env.MUX_SIGNING_KEY_ID!,
  jwtPrivateKey: env.MUX_PRIVATE_KEY!,
  webhookSecret: mux.webhookSecret,
  maxRetries: 0,
  logLevel: 'off'
})
const key = {
  id: mux.signingKeyId,
  privateKey: createPrivateKey(Buffer.from(env.MUX_PRIVATE_KEY!, 'base64')),
  publicKey: mux.publicKey
}

t.test("a playback token says what the SDK's own says", async (t) => {
  const expiresAt = Math.floor(Date.now() / 1000) + 500
  const ours = readToken(await signPlaybackToken('abc', 'v', expiresAt, key), mux.publicKey)
  t.same(ours, { sub: 'abc', aud: 'v', exp: expiresAt, kid: mux.signingKeyId })
  for (const [type, use] of [
    ['video', 'v'],
    ['thumbnail', 't'],
    ['drm_license', 'd']
  ] as const) {
    const theirs = readToken(await client.jwt.signPlaybackId('abc', { type, expiration: '500s' }), mux.publicKey)!
    t.same(
      { ...theirs, exp: 0 },
      { ...readToken(await signPlaybackToken('abc', use, expiresAt, key), mux.publicKey), exp: 0 },
      type
    )
    t.ok(Math.abs(Number(theirs.exp) - expiresAt) <= 1)
  }
})

t.test('a token is good for its media, its use and its time', async (t) => {
  const token = await signPlaybackToken('abc', 'v', 1000, key)
  t.same(verifyPlaybackToken('abc', token, key, 999_999), { ok: true, expiresAt: 1000 })
  t.same(verifyPlaybackToken('abc', token, key, 1_000_000), { ok: false, reason: 'expired' })
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const forged = Buffer.from(JSON.stringify({ sub: 'abc', aud: 'v', exp: 2000, kid: key.id })).toString('base64url')
  const none = Buffer.from('{"alg":"none"}').toString('base64url')
  for (const bad of [
    '',
    '.',
    '..',
    'a.b.c',
    `${header}.${payload}`,
    `${header}.${payload}.`,
    `${header}.${forged}.${signature}`,
    `${none}.${payload}.`,
    `${header}.${payload}.${signature.slice(1)}`,
    await signPlaybackToken('abc', 't', 1000, key),
    await signPlaybackToken('abd', 'v', 1000, key)
  ]) {
    t.same(verifyPlaybackToken('abc', bad, key, 0), { ok: false, reason: 'invalid' }, bad.slice(-20))
  }
})

t.test('the double refuses what Mux refuses', async (t) => {
  const create = async (settings: unknown, rest: object = {}) =>
    await client.video.uploads.create({ cors_origin: '*', new_asset_settings: settings as object, ...rest }).then(
      () => 'taken',
      (error: unknown) => (error instanceof APIError ? `${error.status} ${JSON.stringify(error.error)}` : String(error))
    )
  const drm = { policy: 'drm', drm_configuration_id: mux.drmConfigurationId }
  t.equal(
    await create({ playback_policies: ['signed'], video_quality: 'plus', passthrough: 'x' }, { timeout: 86_400 }),
    'taken'
  )
  t.equal(await create({ advanced_playback_policies: [drm], video_quality: 'plus' }), 'taken')
  for (const [settings, words] of [
    [{ playback_policies: ['signed'], advanced_playback_policies: [drm] }, /mutually exclusive/],
    [{ playback_policies: ['drm'] }, /advanced_playback_policies must be used/],
    [{ advanced_playback_policies: [{ policy: 'drm' }] }, /drm_configuration_id is required/],
    [{ advanced_playback_policies: [{ policy: 'drm', drm_configuration_id: 'another' }] }, /not known/],
    [
      { advanced_playback_policies: [{ policy: 'signed', drm_configuration_id: mux.drmConfigurationId }] },
      /must only be set/
    ],
    [{ advanced_playback_policies: [drm], video_quality: 'basic' }, /basic/],
    [{ playback_policies: 'signed' }, /playback_policies/],
    [{ playback_policies: ['secret'] }, /playback_policies/],
    [{ passthrough: 7 }, /passthrough/],
    [{ passthrough: 'x'.repeat(256) }, /passthrough/],
    [{ anything: true }, /anything/]
  ] as const) {
    t.match(
      await create(settings),
      new RegExp(`^400 \\{"error":\\{"type":"invalid_parameters","messages":\\[.*${words.source}`)
    )
  }
  for (const timeout of [59, 604_801, 100.5]) t.match(await create({}, { timeout }), /^400 .*timeout/)
  const stranger = client.withOptions({ tokenSecret: 'wrong' })
  await t.rejects(stranger.video.uploads.list(), /401/)
  t.equal((await fetch(`${mux.origin}/video/v1/uploads`)).status, 401)
  await t.rejects(client.video.assets.retrieve('nothing'), /404/)
})

t.test('the double signs webhooks as the SDK expects them', async (t) => {
  const event = mux.event(
    'video.upload.created',
    'upload',
    await client.video.uploads.create({ cors_origin: '*', new_asset_settings: {} })
  )
  t.match(await client.webhooks.unwrap(event.body, mux.sign(event.body)), {
    type: 'video.upload.created',
    id: event.id
  })
  await t.rejects(client.webhooks.unwrap(event.body, mux.sign(event.body, Date.now() / 1000 - 301)))
  await t.rejects(client.webhooks.unwrap(`${event.body} `, mux.sign(event.body)))
})

t.test('every failure is one sentence, that trying again helps or not', async (t) => {
  const failing = async (status: number, headers?: Record<string, string>) => {
    mux.faults.push({
      request: /uploads/,
      status,
      messages: ['This is why.', ' And\nthat.'],
      ...(headers && { headers })
    })
    return faultOf(
      await client.video.uploads.list().then(
        () => undefined,
        (error: unknown) => error
      )
    )
  }
  t.match(await failing(400), {
    code: 'provider_refused',
    message: 'Mux refused the media (400): This is why. And that.'
  })
  t.match(await failing(422), { code: 'provider_refused' })
  for (const status of [401, 403, 408, 409, 500, 503]) {
    t.match(await failing(status), { code: undefined }, String(status))
  }
  t.match(await failing(429, { 'retry-after': '7' }), { code: undefined, retryAfterMs: 7000 })
  t.match(await failing(503, { 'retry-after': 'soon' }), { retryAfterMs: 0 })
  await mux.stop()
  t.match(
    faultOf(
      await client.video.uploads.list().then(
        () => undefined,
        (error: unknown) => error
      )
    ),
    { code: undefined, message: /^The server could not reach Mux \((ECONNREFUSED|UND_ERR_SOCKET)\)\.$/ }
  )
  t.match(faultOf(new Error('https://secret')), { message: 'The request to Mux failed.' })
})
