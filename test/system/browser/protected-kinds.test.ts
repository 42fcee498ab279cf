import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright-core'
import t from 'tap'
import { Ffmpeg } from '../../../src/protection/hls/ffmpeg.js'
import { systemClock } from '../../../src/time.js'
import { h264, make, noFfmpeg, picture, tone } from '../../support/ffmpeg.js'
import { shown } from '../../support/protected-server.js'
import { eventually } from '../../support/server-process.js'
import { buildTestApp } from '../../support/test-app.js'
import { fixture } from '../../support/fixtures.js'
import { signUpEverybody, upload } from '../../support/client.js'

interface Video {
  currentSrc: string
  videoWidth: number
  videoHeight: number
  duration: number
  ended: boolean
  error: { message: string } | null
  webkitAudioDecodedByteCount: number
  play(): Promise<void>
  addEventListener(event: string, listener: () => void): void
}

const CHROMIUM = '/usr/bin/chromium'
const noChromium = existsSync(CHROMIUM) ? false : `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`

/** Plays the video of a page to its end. */
function playToEnd (page: Page) {
  return page.locator('video').evaluate(async (video: Video) => {
    await video.play()
    if (!video.ended) await new Promise<void>((resolve) => video.addEventListener('ended', resolve))
    const { videoWidth, videoHeight, duration, error, webkitAudioDecodedByteCount: soundBytes } = video
    return { size: [videoWidth, videoHeight], duration, error: error?.message, soundBytes }
  })
}

t.test('hls.js plays streams whose label differs from their file', {
  skip: noFfmpeg || noChromium,
  timeout: 150_000
}, async (t) => {
  const server = await buildTestApp(t, {}, { clock: systemClock, ffmpeg: new Ffmpeg(process.env.PATH!) })
  const origin = await server.listen()
  const { instructor } = await signUpEverybody(server)
  const lowRate = [...picture(3), ...tone(3, 16_000), ...h264, '-ac', '1', '-c:a', 'libmp3lame']
  const low = await make(join(server.folder, 'low.mp4'), ...lowRate)
  const files = [
    { name: 'turned', file: await fixture('cases/rot90.mp4'), size: [90, 160], seconds: 6 },
    { name: 'stretched', file: await fixture('cases/par_box.mp4'), size: [160, 120], seconds: 6 },
    { name: 'MP3 of MPEG-2', file: await readFile(low), size: [128, 72], seconds: 3 }
  ]
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required']
  })
  t.teardown(() => browser.close())
  for (const { name, file, size, seconds } of files) {
    await t.test(name, async (t) => {
      const reply = await upload(server, instructor, file, { protection: 'encrypted', visibility: 'public' })
      const { id } = reply.json<{ id: string }>()
      const statusOf = async () => (await shown(server, id, instructor)).status
      await eventually('it is packaged', async () => (await statusOf()) === 'ready', 60_000)
      const page = await browser.newPage()
      page.setDefaultTimeout(40_000)
      const complaints: string[] = []
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
      })
      await page.goto(`${origin}/embed/${id}`)
      const sourceOf = () => page.locator('video').evaluate((video: Video) => video.currentSrc)
      await eventually('hls.js is attached', async () => (await sourceOf()).startsWith('blob:'))
      const played = await playToEnd(page)
      t.same(played.size, size)
      t.equal(played.error, undefined)
      t.ok(Math.abs(played.duration - seconds) < 0.3, `lasts ${played.duration} s`)
      t.ok(played.soundBytes > 0, `${played.soundBytes} bytes of sound were decoded`)
      t.same(complaints, [], 'nothing in the console')
      await page.close()
    })
  }
})
