import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { chromium, type Browser, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { eventually } from '../../support/server-process.js'
import { fixtures } from '../../support/fixtures.js'
import { addMuxLecture, buildMuxApp, settledLecture, type MuxServer } from '../../support/mux-server.js'
import { systemClock } from '../../../src/time.js'

const CHROMIUM = '/usr/bin/chromium'
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`
const ID = '019377a4-3f00-7000-8000-000000000000'

t.test('a link of Mux in the player: only its form is looked at, the server judges it', async (t) => {
  const { readLink } = await import(pathToFileURL(resolve('web/embed/links.js')).href)
  const payload = Buffer.from('{"sub":"a?~","exp":1764000000}').toString('base64url')
  const url = `https://stream.mux.com/abc.m3u8?token=e.${payload}.s`
  t.same(readLink(url, ID, 'https://m.org'), {
    url,
    token: `e.${payload}.s`,
    encrypted: true,
    expiresAt: 1764000000000
  })
  t.equal(readLink('https://stream.mux.com/abc.m3u8?token=a.b.c', ID, 'https://m.org').expiresAt, 0)
  for (const bad of [
    'https://stream.mux.com/abc.m3u8',
    `${url}&x=1`,
    `${url}#x`,
    url.replace('https', 'http'),
    url.replace('stream.mux.com', 'stream.mux.com.evil.org'),
    url.replace('stream.mux.com', 'evil.org/stream.mux.com'),
    url.replace('abc', '../abc'),
    'https://stream.mux.com/abc.m3u8?token=javascript:'
  ]) {
    t.equal(readLink(bad, ID, 'https://m.org'), undefined, bad)
  }
})

t.test('the player plays what Mux plays', { skip, timeout: 110_000 }, async (t) => {
  // What Mux would make of the file.
  const folder = await mkdtemp(join(tmpdir(), 'playgate-hls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await promisify(execFile)('ffmpeg', [
    '-loglevel',
    'error',
    '-i',
    join(fixtures, 'tiny.mp4'),
    '-c',
    'copy',
    '-f',
    'hls',
    '-hls_list_size',
    '0',
    '-hls_base_url',
    'https://chunk-1.edge.mux.com/',
    join(folder, 'media.m3u8')
  ])
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--autoplay-policy=no-user-gesture-required'
    ]
  })
  t.teardown(() => browser.close())

  await t.test('by signed addresses, with hls.js; a link that is not of this media opens nothing', async (t) => {
    const server = await ready(t, {})
    const { page, asked, complaints } = await newPage(browser, folder)
    const link = await server.mint()
    await page.goto(server.embed(link))
    await page.locator('video[src^="blob:"]').waitFor({ state: 'attached' })
    await page.locator('video').evaluate((element: { play(): Promise<void> }) => element.play())
    // Not by waitForFunction, which the page's own policy forbids when it has to look twice.
    await eventually('it plays', () =>
      page.locator('video').evaluate(({ currentTime }: { currentTime: number }) => currentTime > 0.3)
    )
    t.equal(
      asked.find((url) => url.includes('mux.com')),
      link,
      'the address as it was minted'
    )
    t.ok(
      asked.some((url) => url.startsWith('https://chunk-1.edge.mux.com/')),
      'and what the playlist names'
    )
    t.ok(asked.some((url) => url.endsWith('/hls.light.min.js')) && !asked.some((url) => url.includes('shaka')))
    t.same(complaints, [], 'the policy lets Mux in')

    const other = await newPage(browser, folder)
    await other.page.goto(server.embed(link).replace(server.mediaId, ID))
    await other.page.locator('[role=status]', { hasText: 'not valid' }).waitFor()
    await other.page.goto('about:blank')
    await other.page.goto(
      server.embed(`https://stream.mux.com/abc.m3u8?token=${link.split('token=')[1]!.slice(0, -9)}`)
    )
    await other.page.locator('[role=status]', { hasText: 'not valid' }).waitFor()
    t.same(
      other.asked.filter((url) => url.includes('mux.com')),
      []
    )
  })

  await t.test('by DRM, with shaka-player, which nothing else loads', async (t) => {
    const server = await ready(t, { drm: true })
    const { page, asked } = await newPage(browser, folder)
    const link = await server.mint()
    const judged = page.waitForResponse((response) =>
      response.url().includes(`/embed/${server.mediaId}/playback?token=`)
    )
    await page.goto(server.embed(link))
    t.match(await (await judged).json(), { drm: { widevine: /^https:\/\/license\.mux\.com\/license\/widevine\// } })
    await page.locator('video > source[src^="blob:"]').waitFor({ state: 'attached' })
    t.notOk(
      asked.some((url) => url.includes('stream.mux.com')),
      'nothing before somebody plays'
    )
    const manifest = page.waitForRequest((request) => request.url() === link)
    await page.locator('video').evaluate((element: { play(): Promise<void> }) => void element.play().catch(() => {}))
    await manifest
    t.ok(
      asked.some((url) => url.endsWith('/shaka-player.hls-es2021.js')) &&
        !asked.some((url) => url.endsWith('/hls.light.min.js'))
    )
  })
})

async function ready (
  t: Test,
  options: { drm?: boolean }
): Promise<MuxServer & { mediaId: string; mint(): Promise<string>; embed(link: string): string }> {
  const server = await buildMuxApp(t, { ...options, clock: systemClock })
  server.mux.now = Date.now
  const { media_id: mediaId } = await addMuxLecture(server)
  await settledLecture(server)
  const origin = await server.listen()
  const policy = (await server.inject({ url: `/embed/${mediaId}` })).headers['content-security-policy'] as string
  t.match(policy, "media-src 'self' blob: https://*.mux.com; connect-src 'self' https://*.mux.com; ")
  return {
    ...server,
    mediaId,
    mint: async () =>
      (await server.inject({ url: `/media/${mediaId}/stream-url`, headers: server.student.headers })).json<{
        stream_url: string
      }>().stream_url,
    embed: (link) => `${origin}/embed/${mediaId}#src=${encodeURIComponent(link)}`
  }
}

/** A page to which `folder` is Mux. */
async function newPage (
  browser: Browser,
  folder: string
): Promise<{ page: Page; asked: string[]; complaints: string[] }> {
  const page = await browser.newPage()
  page.setDefaultTimeout(20_000)
  const [asked, complaints]: [string[], string[]] = [[], []]
  page.on('request', (request) => asked.push(request.url()))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  await page.route('https://*.mux.com/**', async (route) => {
    const name = new URL(route.request().url()).pathname.slice(1)
    const body = await readFile(join(folder, name.endsWith('.m3u8') ? 'media.m3u8' : name))
    await route.fulfill({
      body,
      headers: {
        'access-control-allow-origin': '*',
        'content-type': name.endsWith('.m3u8') ? 'application/x-mpegURL' : 'video/mp2t'
      }
    })
  })
  return { page, asked, complaints }
}
