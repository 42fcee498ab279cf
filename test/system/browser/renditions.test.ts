import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium } from 'playwright-core'
import t from 'tap'
import { Ffmpeg } from '../../../src/protection/hls/ffmpeg.js'
import { noFfmpeg, temporaryFolder } from '../../support/ffmpeg.js'
import { makeOddSource, ODD_SOURCES } from '../../support/odd-sources.js'
import { buildTestApp } from '../../support/test-app.js'
import { mintLink, signUpEverybody, upload } from '../../support/client.js'

/** As much of a video element as is used here: the project's types know no browser. */
interface Video {
  currentTime: number
  duration: number
  videoWidth: number
  videoHeight: number
  error: { message: string } | null
  play(): Promise<void>
  pause(): void
  addEventListener(event: string, listener: () => void): void
}

const CHROMIUM = '/usr/bin/chromium'
const skip = existsSync(CHROMIUM) ? noFfmpeg : `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required']

t.test('Chromium plays renditions of files that it cannot play', { skip, timeout: 110_000 }, async (t) => {
  const server = await buildTestApp(t, { PATH: process.env.PATH! }, { ffmpeg: new Ffmpeg(process.env.PATH!) })
  const origin = await server.listen()
  const { instructor } = await signUpEverybody(server)
  const folder = await temporaryFolder(t)
  const page = createServer((request, response) => {
    const source = decodeURIComponent(request.url!.split('?')[1] ?? '').replaceAll('&', '&amp;')
    response
      .setHeader('content-type', 'text/html')
      .end(`<!doctype html><title>A page</title><video src="${source}" muted preload="auto"></video>`)
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    page.closeAllConnections()
    page.close()
  })
  if (!page.listening) await once(page, 'listening')
  const pageOrigin = `http://127.0.0.1:${(page.address() as AddressInfo).port}`
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
  t.teardown(() => browser.close())

  for (const source of ODD_SOURCES.filter(({ file }) => ['portrait.mp4', 'asp.avi'].includes(file))) {
    await t.test(source.name, async (t) => {
      const path = await makeOddSource(folder, source)
      const { id } = (await upload(server, instructor, await readFile(path))).json<{ id: string }>()
      const status = async () =>
        (await server.inject({ url: `/media/${id}`, headers: instructor.headers })).json<{
          renditions: Array<{ status: string }>
        }>().renditions[0]?.status
      for (let tries = 0; tries < 600 && (await status()) !== 'ready'; tries++) {
        // The clock of a test stands still, and jobs that wait are due by it.
        server.clock.advance(100)
        await sleep(50)
      }
      t.equal(await status(), 'ready')
      const link = origin + (await mintLink(server, id, instructor))
      const tab = await browser.newPage()
      await tab.goto(`${pageOrigin}/?${encodeURIComponent(link)}`)
      const seen = await tab.locator('video').evaluate(async (video: Video) => {
        const event = (name: string) => new Promise<void>((resolve) => video.addEventListener(name, resolve))
        await video.play()
        await event('timeupdate')
        video.pause()
        const sought = event('seeked')
        video.currentTime = 1.5
        await sought
        const { currentTime, duration, videoWidth, videoHeight, error } = video
        return { currentTime, duration, size: `${videoWidth}x${videoHeight}`, error: error?.message }
      })
      t.match(seen, { currentTime: 1.5, size: source.size, error: undefined })
      t.ok(Math.abs(seen.duration - 2) < 0.2, `${seen.duration} s`)
      await tab.close()
    })
  }
})
