import axe from 'axe-core'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Ffmpeg } from '../../../src/protection/hls/ffmpeg.js'
import { systemClock } from '../../../src/time.js'
import { putCaptions } from '../../support/captions.js'
import { h264, make, noFfmpeg, tone } from '../../support/ffmpeg.js'
import { protectedMedia } from '../../support/protected-server.js'
import { buildTestApp, type TestApp } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload, type Person } from '../../support/client.js'

const CHROMIUM = '/usr/bin/chromium'
const skip = noFfmpeg || (!existsSync(CHROMIUM) && `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`)
const LIMIT_MS = 15_000
const SECONDS = 10
/** The picture is white, and a caption shows, from each odd second to the next even one. */
const WHITE = "drawbox=t=fill:color=white:enable='eq(mod(floor(t),2),1)'"
const cues = Array.from({ length: SECONDS / 2 }, (_, at) => {
  const [start, end] = [2 * at + 1, 2 * at + 2].map((second) => String(second).padStart(2, '0'))
  return `00:${start},000 --> 00:${end},000\nWhite ${at}`
})
const SRT = cues.join('\n\n')
const TITLE = 'A film <b>&'
const CHAPTERS = [
  { start_seconds: 0, title: 'Black <i>&' },
  { start_seconds: 5, title: 'White' }
]

async function addFilm (server: TestApp, person: Person, film: Buffer, isProtected: boolean): Promise<string> {
  const fields = { title: TITLE, visibility: 'public' }
  const id = isProtected
    ? await protectedMedia(server, person, film, fields)
    : (await upload(server, person, film, fields)).json<{ id: string }>().id
  await putCaptions(server, id, person, { path: 'en?default=true', text: SRT, type: 'application/x-subrip' })
  await putCaptions(server, id, person, { path: 'de', text: SRT, type: 'application/x-subrip' })
  const chapters = { method: 'PUT', url: `/media/${id}/chapters`, headers: person.headers, payload: CHAPTERS } as const
  await server.inject(chapters)
  return id
}

/** Seeks to both sides of each change of the picture. Returns the times at which caption and picture differ. */
const differences = `(async () => {
  const video = document.querySelector('video')
  const track = [...video.textTracks].find(({ mode, kind }) => mode === 'showing' && kind === 'captions')
  const canvas = document.createElement('canvas')
  const context = canvas.getContext('2d', { willReadFrequently: true })
  const shown = () => new Promise((resolve) => video.requestVideoFrameCallback(resolve))
  video.pause()
  const wrong = []
  let times = 0
  for (let second = 1; second < ${SECONDS}; second++) {
    for (const time of [second - 0.1, second + 0.1]) {
      const frame = shown()
      video.currentTime = time
      await frame
      context.drawImage(video, 0, 0, 8, 8)
      const isWhite = context.getImageData(4, 4, 1, 1).data[0] > 128
      await new Promise((resolve) => setTimeout(resolve, 50))
      const hasCaption = track.activeCues.length === 1
      times++
      if (isWhite !== hasCaption) wrong.push(time)
    }
  }
  return { times, wrong }
})()`

t.test('captions and chapters in a browser', { skip, timeout: 200_000 }, async (t) => {
  const ffmpeg = new Ffmpeg(process.env.PATH!)
  const server = await buildTestApp(t, {}, { clock: systemClock, ffmpeg })
  const origin = await server.listen()
  const { instructor } = await signUpEverybody(server)
  const black = ['-f', 'lavfi', '-i', `color=black:size=160x90:rate=25:duration=${SECONDS}`]
  const file = join(server.folder, 'film.mp4')
  const film = await readFile(await make(file, ...black, ...tone(SECONDS), '-vf', WHITE, ...h264, '-g', '25'))
  const plain = await addFilm(server, instructor, film, false)
  const encrypted = await addFilm(server, instructor, film, true)
  const elsewhere = createServer((request, response) => {
    const { searchParams } = new URL(request.url!, 'http://x')
    const [link, captions] = ['link', 'captions'].map((name) => searchParams.get(name)?.replaceAll('&', '&amp;'))
    response.setHeader('content-type', 'text/html').end(`<!doctype html><title>Elsewhere</title>
      <link rel="icon" href="data:,"><video crossorigin="anonymous" controls muted src="${link}">
      <track default kind="captions" srclang="en" src="${captions}"></video>`)
  }).listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  t.teardown(() => {
    elsewhere.closeAllConnections()
    elsewhere.close()
  })
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required']
  })
  t.teardown(() => browser.close())

  async function withPage (t: Test, url: string, work: (page: Page) => Promise<void>): Promise<void> {
    const page = await browser.newPage({ viewport: { width: 700, height: 420 } })
    page.setDefaultTimeout(LIMIT_MS)
    const complaints: string[] = []
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await page.goto(url)
    await work(page)
    t.same(complaints, [])
    await page.close()
  }
  const violations = async (page: Page) => {
    await page.evaluate(axe.source)
    const found = (await page.evaluate('axe.run()')) as axe.AxeResults
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
  }
  // The policy of the page forbids the text of a condition, so the test asks again and again.
  const reaches = async (page: Page, seconds: number) => {
    const end = Date.now() + LIMIT_MS
    while (Date.now() < end) {
      if (Number(await page.evaluate("document.querySelector('video').currentTime")) >= seconds) return
      await sleep(50)
    }
    throw new Error(`the video does not reach ${seconds} s`)
  }
  const shot = async (page: Page, name: string) => {
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/captions-${name}.png` })
  }

  for (const [name, id] of Object.entries({ plain, encrypted })) {
    await t.test(`the player page of ${name} media shows title, captions and chapters, by keyboard`, (t) =>
      withPage(t, `${origin}/embed/${id}`, async (page) => {
        await page.locator('#chapters').waitFor()
        t.equal(await page.locator('h1').textContent(), TITLE)
        t.equal(await page.locator('#cover button').getAttribute('aria-label'), `Play ${TITLE}`)
        await shot(page, `${name}-before`)
        t.same(await violations(page), [], 'axe')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        await reaches(page, 0.2)
        t.notOk(await page.locator('#cover').isVisible())
        await shot(page, name)
        t.same(await violations(page), [], 'axe, while it plays')
        t.same(await page.evaluate(differences), { times: 18, wrong: [] }, 'captions within 100 ms of the picture')
        const summary = page.locator('#chapters summary')
        await summary.focus()
        await page.keyboard.press('Enter')
        t.same(await page.locator('#chapters button').allTextContents(), ['Black <i>&', 'White'], 'titles are text')
        await shot(page, `${name}-chapters`)
        t.same(await violations(page), [], 'axe, with chapters')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        await reaches(page, 5)
        t.equal(await page.evaluate('document.activeElement.tagName'), 'VIDEO')
        const tracks = "[...document.querySelector('video').textTracks].map(({ kind, mode }) => kind + mode)"
        t.same(await page.evaluate(tracks), ['captionsdisabled', 'captionsshowing', 'chaptershidden'])
      })
    )
  }

  await t.test('the player page shows the poster before playback', async (t) => {
    const details = `/media/${plain}/player.json`
    const poster = async () =>
      (await server.inject({ url: details, headers: instructor.headers })).json<{ poster_url: string | null }>()
    for (let tries = 0; (await poster()).poster_url === null && tries < 100; tries++) await sleep(100)
    await withPage(t, 'about:blank', async (page) => {
      const picture = page.waitForResponse((response) => response.url().includes('poster.jpg'))
      await page.goto(`${origin}/embed/${plain}`)
      t.equal((await picture).status(), 200)
      t.match(await page.locator('#cover').getAttribute('class'), '')
      t.match(await page.evaluate("document.querySelector('video').poster"), /\/poster\.jpg\?exp=/)
      await shot(page, 'poster')
      t.same(await violations(page), [], 'axe')
    })
  })

  await t.test('a page of another site shows the captions of a plain media', async (t) => {
    const link = origin + (await mintLink(server, plain, instructor))
    const captions = link.replace(/\/media\/stream\/([^?]+)/, '/media/$1/captions/en.vtt')
    const { port } = elsewhere.address() as AddressInfo
    const query = new URLSearchParams({ link, captions })
    await withPage(t, `http://127.0.0.1:${port}/?${query}`, async (page) => {
      await page.evaluate("document.querySelector('video').play()")
      await reaches(page, 0.2)
      t.same(await page.evaluate(differences), { times: 18, wrong: [] })
    })
  })

  await t.test('an unknown media and a private one look the same', async (t) => {
    const { id } = (await upload(server, instructor, film, { title: 'A secret' })).json<{ id: string }>()
    const shown: string[] = []
    for (const one of [id, '019377a4-3f00-7000-8000-000000000000']) {
      const page = await browser.newPage()
      await page.goto(`${origin}/embed/${one}`)
      await page.locator('[role=status]', { hasText: 'It needs a link' }).waitFor()
      t.notOk(await page.locator('#cover').isVisible())
      shown.push((await page.content()).replaceAll(one, 'ID'))
      await page.close()
    }
    t.equal(shown[0], shown[1])
  })
})
