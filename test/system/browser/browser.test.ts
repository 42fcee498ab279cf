import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'

/** As much of a video element as is used here: the project's types know no browser. */
interface Video {
  currentTime: number
  duration: number
  error: { code: number } | null
  play(): Promise<void>
  addEventListener(event: string, listener: () => void): void
}

const CHROMIUM = '/usr/bin/chromium'
const HOST = 'playgate.test'
const LIMIT_MS = 20_000
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`
const shots = process.env.SCREENSHOTS

t.test('in a browser', { skip, timeout: 110_000 }, async (t) => {
  const server = await buildTestApp(t)
  const origin = await server.listen()
  const site = origin.replace('127.0.0.1', HOST)
  const { instructor } = await signUpEverybody(server)
  const { id } = (await upload(server, instructor)).json<{ id: string }>()
  const link = async (query = '') => origin + (await mintLink(server, id, instructor, query))

  // A page of another origin, which shows whatever is linked after its `?`.
  const elsewhere = createServer((request, response) => {
    const source = decodeURIComponent(request.url!.split('?')[1] ?? '').replaceAll('&', '&amp;')
    response
      .setHeader('content-type', 'text/html')
      .end(`<!doctype html><title>Elsewhere</title>${source && `<video src="${source}" muted preload="auto"></video>`}`)
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    elsewhere.closeAllConnections()
    elsewhere.close()
  })
  const page2 = (source: string) =>
    `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/?${encodeURIComponent(source)}`

  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      `--host-resolver-rules=MAP ${HOST} 127.0.0.1`
    ]
  })
  t.teardown(() => browser.close())

  // Chromium says so of every plain http page that is not on localhost: the header works on https.
  const harmless = /^The Cross-Origin-Opener-Policy header has been ignored/

  /** A fresh page; afterwards nothing may have left this machine, nor may the page have complained. */
  async function withPage (t: Test, work: (page: Page) => Promise<void>, expected = /^$/): Promise<void> {
    const page = await browser.newPage()
    page.setDefaultTimeout(LIMIT_MS)
    const hosts = new Set<string>()
    const complaints: string[] = []
    page.on('request', (request) => {
      if (/^(https?|wss?):/.test(request.url())) hosts.add(new URL(request.url()).hostname)
    })
    page.on('console', (message) => {
      if (message.type() === 'error' && !harmless.test(message.text()) && !expected.test(message.text())) {
        complaints.push(message.text())
      }
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await work(page)
    t.same(
      [...hosts].filter((host) => ![HOST, '127.0.0.1'].includes(host)),
      [],
      'no request left the machine'
    )
    t.same(complaints, [], 'no errors in the console')
    await page.close()
  }

  const play = (page: Page) =>
    page.locator('video').evaluate(async (video: Video) => {
      await video.play()
      const start = video.currentTime
      await new Promise<void>((resolve) =>
        video.addEventListener('timeupdate', () => {
          if (video.currentTime > start) resolve()
        })
      )
      return video.currentTime
    })

  await t.test('a video tag on another origin plays a link, seeks in it and ends', (t) =>
    withPage(t, async (page) => {
      await page.goto(page2(await link()))
      t.ok((await play(page)) > 0, 'the time goes on')
      const end = await page.locator('video').evaluate(
        (video: Video) =>
          new Promise<number>((resolve) => {
            video.addEventListener('ended', () => resolve(video.currentTime))
            video.currentTime = video.duration - 0.3
            video.play().catch(() => {})
          })
      )
      t.ok(end > 1.9, `ended at ${end}`)
      t.same(
        await server.query(`select link_id from views where media_id = '${id}'`).then((rows) => rows.length),
        1,
        'and is one view'
      )
    })
  )

  await t.test('a video tag shows an error for a link that has expired', (t) =>
    withPage(
      t,
      async (page) => {
        const expired = await link('?expires_in=1')
        server.clock.advance(1000)
        await page.goto('about:blank')
        await page.goto(page2(expired))
        const code = await page
          .locator('video')
          .evaluate(
            (video: Video) =>
              video.error?.code ??
              new Promise((resolve) => video.addEventListener('error', () => resolve(video.error?.code)))
          )
        t.equal(code, 4, 'MEDIA_ERR_SRC_NOT_SUPPORTED: nothing of it came')
      },
      /403/
    )
  )

  await t.test('a link opened in a tab plays', (t) =>
    withPage(
      t,
      async (page) => {
        await page.goto(await link())
        t.ok((await play(page)) > 0)
      },
      /favicon|404/
    )
  )

  await t.test('/docs works on any host over plain http, and its Authorize button logs in', (t) =>
    withPage(t, async (page) => {
      await page.goto(`${site}/docs`)
      await page.locator('.opblock').first().waitFor()
      if (shots) await page.screenshot({ path: `${shots}/docs.png` })
      await page.locator('button.authorize').first().click()
      const form = page
        .locator('.auth-container', { hasText: 'password' })
        .filter({ has: page.locator('input[type=password]') })
      await form.locator('#oauth_username, input[name=username]').first().fill(instructor.email)
      await form.locator('input[type=password]').first().fill('secure_password123')
      await form.locator('button', { hasText: 'Authorize' }).click()
      await page.locator('.auth-container button', { hasText: 'Logout' }).waitFor()
      if (shots) await page.screenshot({ path: `${shots}/authorized.png` })
      await page.locator('.modal-ux button.btn-done, .modal-ux .close-modal').first().click()
      const me = page.locator('.opblock', { has: page.locator('[data-path="/auth/me"]') })
      await me.locator('.opblock-summary').click()
      await me.locator('button.execute').click()
      const live = me.locator('.live-responses-table .response').first()
      await live.waitFor()
      t.match(await live.locator('.response-col_status').innerText(), '200')
      t.match(await live.innerText(), instructor.email)
      if (shots) await page.screenshot({ path: `${shots}/me.png` })
    })
  )

  await t.test('/redoc renders on any host over plain http (bug: it fetched a logo from its maker)', (t) =>
    withPage(t, async (page) => {
      await page.goto(`${site}/redoc`)
      await page.getByRole('heading', { name: 'Issue a link to the stream that expires' }).first().waitFor()
      if (shots) await page.screenshot({ path: `${shots}/redoc.png` })
      t.match(await page.title(), 'Playgate')
    })
  )
})
