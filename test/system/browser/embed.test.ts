import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { chromium, type Frame, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildTestApp, expectProblem } from '../../support/test-app.js'
import { mintLink, newLinkedMedia, signUp, signUpEverybody, upload, type Person } from '../../support/client.js'
import { newCourse, newLecture, subscribe } from '../../support/courses.js'
import { systemClock } from '../../../src/time.js'

interface Video {
  currentTime: number
  duration: number
  paused: boolean
  ended: boolean
  playbackRate: number
  volume: number
  currentSrc: string
  readyState: number
  play(): Promise<void>
  pause(): void
}

const CHROMIUM = '/usr/bin/chromium'
const LIMIT_MS = 15_000
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} IS NOT INSTALLED: apt-get install chromium`
const shots = process.env.SCREENSHOTS
const ID = '019377a4-3f00-7000-8000-000000000000'

t.test('a link in the player: only one of this server to this media is taken', async (t) => {
  const { readLink, linkInFragment, renewIn } = await import(pathToFileURL(resolve('web/embed/links.js')).href)
  const origin = 'https://m.org'
  const query = 'exp=1764000000&gen=1&kid=abcdefgh&lid=x-1&sub=anon&sig=a_-b'
  const token = '1764000000.1.abcdefgh.x-1.anon.a_-b'
  t.same(readLink(`${origin}/media/stream/${ID}?${query}`, ID, origin), {
    url: `${origin}/media/stream/${ID}?${query}`,
    encrypted: false,
    expiresAt: 1764000000000
  })
  t.same(readLink(`${origin}/hls/${token}/${ID}/master.m3u8`, ID, origin), {
    url: `${origin}/hls/${token}/${ID}/master.m3u8`,
    base: `${origin}/hls/${token}/${ID}/`,
    encrypted: true,
    expiresAt: 1764000000000
  })
  const bad = [
    undefined,
    null,
    7,
    {},
    '',
    'nonsense',
    'javascript:alert(1)',
    `/media/stream/${ID}?${query}`,
    `//m.org/media/stream/${ID}?${query}`,
    `https://evil.org/media/stream/${ID}?${query}`,
    `http://m.org/media/stream/${ID}?${query}`,
    `https://m.org:8443/media/stream/${ID}?${query}`,
    `https://m.org@evil.org/media/stream/${ID}?${query}`,
    `https://u:p@m.org/media/stream/${ID}?${query}`,
    `${origin}/media/stream/${ID}?${query}#x`,
    `${origin}/media/stream/${ID}`,
    `${origin}/media/stream/other?${query}`,
    `${origin}/media/stream/${ID}/../x?${query}`,
    `${origin}/auth/me?${query}`,
    `${origin}/hls/${token}/other/master.m3u8`,
    `${origin}/hls/${token}/${ID}/content.key`,
    `${origin}/hls/${token}/${ID}/master.m3u8?x=1`,
    `${origin}/hls/x/${ID}/master.m3u8`,
    `blob:${origin}/${ID}`
  ]
  for (const text of bad) t.equal(readLink(text, ID, origin), undefined, String(text))
  t.equal(linkInFragment('#src=a%26b%3Dc'), 'a&b=c')
  t.equal(linkInFragment(''), undefined)
  t.same([600_000, 121_000, 5000, 0, -5, 1e13].map(renewIn), [540_000, 61_000, 2500, 1000, 1000, 2 ** 31 - 1])
})

t.test('the page says who may frame it, and its files may be cached', async (t) => {
  const closed = await buildTestApp(t)
  const { headers, body } = await closed.inject({ url: `/embed/${ID}` })
  t.equal(
    headers['content-security-policy'],
    "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self' blob:; connect-src 'self'; " +
      "worker-src 'self' blob:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
  )
  t.equal(headers['x-frame-options'], undefined, 'nothing contradicts it')
  t.match(headers, {
    'content-type': 'text/html; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer'
  })
  t.notMatch(body, /<script(?![^>]* src=)|<style|style=|\son[a-z]+=/, 'no inline script or style')
  t.match(body, `data-media="${ID}"`)
  for (const id of ['x', '%22%3E%3Cscript%3E', 'player.ts']) {
    expectProblem(t, await closed.inject({ url: `/embed/${id}` }), 404, 'not_found')
  }
  const types = {
    'player.js': /^text\/javascript/,
    'links.js': /^text\/javascript/,
    'player.css': /^text\/css/,
    'hls.light.min.js': /^text\/javascript/
  }
  for (const [name, type] of Object.entries(types)) {
    const asset = await closed.inject({ url: `/embed/${name}` })
    t.match(asset.headers, {
      'content-type': type,
      'cache-control': 'public, max-age=3600',
      'x-ratelimit-limit': undefined
    })
    t.equal(
      (await closed.inject({ url: `/embed/${name}`, headers: { 'if-none-match': asset.headers.etag as string } }))
        .statusCode,
      304
    )
  }
  const open = await buildTestApp(t, { EMBED_ORIGINS: '*' })
  t.match((await open.inject({ url: `/embed/${ID}` })).headers['content-security-policy'], /frame-ancestors \*$/)
})

t.test('the player in a browser', { skip, timeout: 280_000 }, async (t) => {
  // A page of another origin with the player in a frame, which answers what the player asks with `window.answer`.
  const parents = ['', ''].map(() =>
    createServer((request, response) => {
      const source = new URL(request.url!, 'http://x').searchParams.get('frame')?.replaceAll('&', '&amp;')
      response.setHeader('content-type', 'text/html').end(`<!doctype html><title>Elsewhere</title><body>
      <iframe src="${source}" title="Player" width="640" height="360" allow="autoplay; fullscreen"></iframe>
      <script>asked = []; addEventListener('message', async ({ data, source }) => {
        asked.push(data)
        const stream_url = await window.answer?.()
        if (stream_url) source.postMessage({ type: 'playgate:link', stream_url }, '*')
      })</script>`)
    }).listen(0, '127.0.0.1')
  )
  t.teardown(() => {
    for (const parent of parents) {
      parent.closeAllConnections()
      parent.close()
    }
  })
  await Promise.all(parents.map((parent) => parent.listening || once(parent, 'listening')))
  const [friend, stranger] = parents.map((parent) => `http://127.0.0.1:${(parent.address() as AddressInfo).port}`) as [
    string,
    string
  ]
  const server = await buildTestApp(t, { EMBED_ORIGINS: friend }, { clock: systemClock })
  const origin = await server.listen()
  const { instructor } = await signUpEverybody(server)

  // Enough bytes that no browser fetches all of it at once.
  const file = join(server.folder, 'film.mp4')
  await promisify(execFile)('ffmpeg', [
    '-loglevel',
    'error',
    '-y',
    '-f',
    'lavfi',
    '-i',
    'testsrc=size=320x180:rate=15:duration=90',
    '-f',
    'lavfi',
    '-i',
    'sine=frequency=440:duration=90',
    '-vf',
    'noise=alls=40:allf=t',
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-b:v',
    '2M',
    '-pix_fmt',
    'yuv420p',
    '-g',
    '30',
    '-c:a',
    'aac',
    '-movflags',
    '+faststart',
    file
  ])
  const film = await readFile(file)
  const make = async (fields: Record<string, string>, content: Buffer | string = film): Promise<string> => {
    const reply = await upload(server, instructor, content, { title: 'A film <b>&', ...fields })
    const { id } = reply.json<{ id: string }>()
    for (
      let i = 0;
      fields.protection === 'encrypted' && i < 100 && (await mediaOf(id, instructor)).status === 'processing';
      i++
    ) {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return id
  }
  const mediaOf = async (id: string, person?: Person) =>
    (await server.inject({ url: `/media/${id}`, headers: person?.headers })).json<{ status: string }>()
  const linkTo = async (id: string, query = '') => origin + (await mintLink(server, id, instructor, query))
  const embed = (id: string, link?: string) =>
    `${origin}/embed/${id}${link === undefined ? '' : `#src=${encodeURIComponent(link)}`}`
  const viewsOf = async (id: string) =>
    (await server.query(`select link_id from views where media_id = '${id}'`)).length
  const openPlain = await make({ visibility: 'public' })
  const plain = await make({})
  const encrypted = await make({ protection: 'encrypted' })

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
      '--autoplay-policy=no-user-gesture-required'
    ]
  })
  t.teardown(() => browser.close())

  /** A fresh page; afterwards it may not have complained but for what was expected. */
  async function withPage (
    t: Test,
    work: (page: Page, requests: string[]) => Promise<void>,
    expected = /^$/
  ): Promise<void> {
    const page = await browser.newPage({ viewport: { width: 700, height: 420 } })
    page.setDefaultTimeout(LIMIT_MS)
    const complaints: string[] = []
    const requests: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !expected.test(message.text())) {
        complaints.push(message.text())
      }
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await work(page, requests)
    t.same(complaints, [], 'no errors, nor breaches of the policy, in the console')
    await page.close()
  }

  const inFrame = async (page: Page, url: string, parent = friend): Promise<Frame> => {
    await page.goto(`${parent}/?frame=${encodeURIComponent(url)}`)
    return page.frames()[1]!
  }
  const video = (page: Page | Frame) => page.locator('video')
  const stateOf = (page: Page | Frame) =>
    video(page).evaluate(
      ({ currentTime, duration, paused, ended, playbackRate, volume, currentSrc, readyState }: Video) => ({
        currentTime,
        duration,
        paused,
        ended,
        playbackRate,
        volume,
        currentSrc,
        readyState
      })
    )
  const play = (page: Page | Frame) => video(page).evaluate((element: Video) => element.play())
  const until = async (
    page: Page | Frame,
    what: string,
    holds: (state: Awaited<ReturnType<typeof stateOf>>) => boolean
  ) => {
    const end = Date.now() + LIMIT_MS
    while (Date.now() < end) {
      const state = await stateOf(page)
      if (holds(state)) return state
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(
      `never: ${what}: ${JSON.stringify(await stateOf(page))}, ${await page.locator('[role=status]').textContent()}`
    )
  }
  const seek = (page: Page | Frame, time: number) =>
    video(page).evaluate((element: Video, time: number) => {
      element.currentTime = time
    }, time)
  const says = (page: Page | Frame, text: string) => page.locator('[role=status]', { hasText: text }).waitFor()
  const shot = async (page: Page, name: string) => {
    if (shots) await page.screenshot({ path: `${shots}/embed-${name}.png` })
  }
  const loaded = (page: Page | Frame) => until(page, 'loaded', ({ currentSrc }) => currentSrc !== '')
  const revoke = (id: string) =>
    server.inject({ method: 'DELETE', url: `/media/${id}/stream-url`, headers: instructor.headers })

  await t.test('a public media mints its own link, plays, and is one view once it plays', (t) =>
    withPage(t, async (page) => {
      await page.goto(embed(openPlain))
      await loaded(page)
      t.equal(await page.title(), 'A film <b>&')
      t.equal(await video(page).getAttribute('aria-label'), 'A film <b>&')
      t.equal(await page.locator('html').getAttribute('lang'), 'en')
      await new Promise((resolve) => setTimeout(resolve, 500))
      await shot(page, 'plain-before')
      t.equal(await viewsOf(openPlain), 0, 'a page that is only shown is no view')
      await play(page)
      await until(page, 'playing', ({ currentTime }) => currentTime > 0.3)
      await shot(page, 'plain')
      t.equal(await page.locator('[role=status]').textContent(), '')
      t.equal(await viewsOf(openPlain), 1)
    })
  )

  await t.test('the keyboard works: Tab reaches the play button, space toggles, and the focus is seen', (t) =>
    withPage(t, async (page) => {
      await page.goto(embed(openPlain))
      await loaded(page)
      await page.keyboard.press('Tab')
      t.equal(await page.evaluate('document.activeElement.tagName'), 'BUTTON')
      t.match(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'solid')
      await page.keyboard.press('Space')
      t.equal(await page.evaluate('document.activeElement.tagName'), 'VIDEO')
      t.match(await page.evaluate("getComputedStyle(document.querySelector('video')).outlineStyle"), 'solid')
      await until(page, 'playing', ({ currentTime, paused }) => currentTime > 0.2 && !paused)
      await shot(page, 'focus')
      await page.keyboard.press('Space')
      await until(page, 'paused', ({ paused }) => paused)
    })
  )

  await t.test('a private encrypted media plays in a frame on an allowed origin, by hls.js, to its end', (t) =>
    withPage(t, async (page, requests) => {
      const frame = await inFrame(page, embed(encrypted, await linkTo(encrypted)))
      await loaded(frame)
      await shot(page, 'encrypted-before')
      t.equal(await viewsOf(encrypted), 0)
      await play(frame)
      const { duration, currentSrc } = await until(frame, 'playing', ({ currentTime }) => currentTime > 0.3)
      await shot(page, 'encrypted')
      t.match(currentSrc, /^blob:/, 'through MediaSource')
      t.ok(Math.abs(duration - 90) < 0.2, `lasts ${duration}`)
      for (const name of ['hls.light.min.js', 'media.m3u8', 'content.key', 'segment-0.ts']) {
        t.ok(
          requests.some((url) => url.endsWith(name)),
          `asked for ${name}`
        )
      }
      await seek(frame, 89.5)
      await until(frame, 'ended', ({ ended }) => ended)
      t.equal(await viewsOf(encrypted), 1, 'one view')
    })
  )

  await t.test('an origin that is not allowed may not frame it', (t) =>
    withPage(
      t,
      async (page) => {
        const frame = await inFrame(page, embed(openPlain), stranger)
        await shot(page, 'refused')
        t.equal(await frame.locator('video').count(), 0)
      },
      /frame-ancestors/
    )
  )

  await t.test('a link is renewed by the page around before it ends: encrypted without a break', (t) =>
    withPage(t, async (page, requests) => {
      const first = await linkTo(encrypted, '?expires_in=5')
      await page.exposeFunction('answer', () => linkTo(encrypted, '?expires_in=5'))
      const frame = await inFrame(page, embed(encrypted, first))
      await loaded(frame)
      await play(frame)
      const { currentSrc } = await until(frame, 'playing', ({ currentTime }) => currentTime > 0.3)
      await video(frame).evaluate((element: Video) => {
        element.playbackRate = 2
        element.volume = 0.4
      })
      await page.waitForFunction('asked.length > 3')
      await seek(frame, 60)
      const after = await until(frame, 'playing on', ({ currentTime }) => currentTime > 61)
      t.match(after, { paused: false, playbackRate: 2, volume: 0.4, currentSrc }, 'the same element plays on')
      t.match(await page.evaluate('asked[0]'), { type: 'playgate:link-needed', media_id: encrypted })
      t.ok(
        new Set(requests.filter((url) => url.includes('/segment-')).map((url) => url.split('/')[4])).size > 1,
        'by several links'
      )
      t.equal(
        requests.filter((url) => url.endsWith('master.m3u8')).length -
          new Set(requests.filter((url) => url.endsWith('master.m3u8'))).size,
        1,
        'no link but the first was looked into and loaded'
      )
    })
  )

  await t.test('a link from anyone but the page around, or to anything else, is not taken', (t) =>
    withPage(
      t,
      async (page) => {
        const frame = await inFrame(page, embed(encrypted))
        await says(frame, 'It needs a link')
        await page.waitForFunction('asked.length === 1')
        await shot(page, 'needs-link')
        const good = await linkTo(encrypted)
        await frame.evaluate(`postMessage({ type: 'playgate:link', stream_url: ${JSON.stringify(good)} }, '*')`)
        const post = (url: unknown) =>
          page.evaluate(`frames[0].postMessage({ type: 'playgate:link', stream_url: ${JSON.stringify(url)} }, '*')`)
        for (const bad of [await linkTo(plain), good.replace('127.0.0.1', 'localhost'), { toString: good }]) {
          await post(bad)
        }
        await says(frame, 'does not lead to this media')
        t.equal((await stateOf(frame)).currentSrc, '')
        await post(good)
        await loaded(frame)
        t.equal(await frame.locator('[role=status]').textContent(), '')
      },
      /401/
    )
  )

  await t.test('after a 403 mid-play it asks, and goes on where it was: both kinds, playing or paused', async (t) => {
    for (const [name, id] of Object.entries({ encrypted, plain })) {
      for (const playing of [true, false]) {
        await withPage(
          t,
          async (page) => {
            let answering = false
            const before = await viewsOf(id)
            let last = await linkTo(id)
            const next = async () => {
              last = await linkTo(id, `?continues=${encodeURIComponent(last)}`)
              return last
            }
            await page.exposeFunction('answer', async () => (answering ? await next() : undefined))
            const frame = await inFrame(page, embed(id, last))
            await loaded(frame)
            await play(frame)
            await until(frame, 'playing', ({ currentTime }) => currentTime > 0.3)
            await video(frame).evaluate((element: Video, playing: boolean) => {
              element.playbackRate = 1.5
              element.volume = 0.4
              if (!playing) element.pause()
            }, playing)
            // Before: what is being loaded at this moment is refused already.
            const { currentSrc: first } = await stateOf(frame)
            answering = true
            await revoke(id)
            await seek(frame, 70)
            await page.waitForFunction('asked.length === 1')
            await until(frame, 'the new link', ({ currentSrc }) => currentSrc !== first)
            const after = await until(
              frame,
              'going on',
              ({ currentTime, paused, readyState }) =>
                readyState > 1 && (playing ? currentTime > 70.3 && !paused : currentTime >= 70)
            )
            t.match(
              after,
              { paused: !playing, playbackRate: 1.5, volume: 0.4 },
              `${name}, ${playing ? 'playing' : 'paused'}`
            )
            t.ok(after.currentTime < 75, `at ${after.currentTime}`)
            t.equal((await viewsOf(id)) - before, 1, 'one view, though the link is another')
            t.equal(await frame.locator('[role=status]').textContent(), '')
          },
          /403/
        )
      }
    }
  })

  await t.test('a second after unsubscribing it gets no further segment, and says so', (t) =>
    withPage(
      t,
      async (page) => {
        const student = await signUp(server, 'student')
        const { id: courseId } = await newCourse(server, instructor, { premium: true })
        const { asset_id: id } = await newLecture(server, instructor, courseId, { file: film })
        while ((await mediaOf(id, instructor)).status === 'processing') {
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
        await subscribe(server, student, courseId)
        const link = await mintLink(server, id, student)
        await page.goto(embed(id, origin + link))
        await loaded(page)
        await play(page)
        await until(page, 'playing', ({ currentTime }) => currentTime > 0.3)
        t.equal(
          (await server.inject({ method: 'DELETE', url: `/subscribe/${courseId}`, headers: student.headers }))
            .statusCode,
          204
        )
        await new Promise((resolve) => setTimeout(resolve, 1000))
        await seek(page, 80)
        await says(page, 'does not open this media any more')
        for (const file of ['content.key', 'segment-0.ts', 'media.m3u8']) {
          expectProblem(t, await server.inject({ url: link.replace('master.m3u8', file) }), 403, 'stream_link_revoked')
        }
      },
      /403/
    )
  )

  await t.test('it says in words what is wrong with a link', async (t) => {
    const gone = await make({})
    const goneLink = await linkTo(gone)
    await server.inject({ method: 'DELETE', url: `/media/${gone}`, headers: instructor.headers })
    const revoked = await linkTo(encrypted)
    await revoke(encrypted)
    const short = await linkTo(encrypted, '?expires_in=1')
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const cases: Record<string, [string, string]> = {
      revoked: [embed(encrypted, revoked), 'has been revoked'],
      expired: [embed(encrypted, short), 'has expired'],
      invalid: [embed(plain, (await linkTo(plain)).slice(0, -2) + 'xx'), 'is not valid'],
      elsewhere: [embed(plain, 'https://example.org/x.mp4'), 'does not lead to this media on this server'],
      gone: [embed(gone, goneLink), 'does not exist any more'],
      private: [embed(plain), 'needs a link'],
      unknown: [embed(ID), 'needs a link']
    }
    for (const [name, [url, text]] of Object.entries(cases)) {
      await withPage(
        t,
        async (page) => {
          await page.goto(url)
          await says(page, text)
          await shot(page, name)
        },
        /40[134]/
      )
    }
  })

  await t.test('what this browser cannot play, and what lives elsewhere, it says', async (t) => {
    const avi = await make({ visibility: 'public' }, 'tiny.avi')
    const far = await newLinkedMedia(server, instructor)
    for (const [id, text] of [
      [avi, 'cannot play this media'],
      [far, 'lives on another site']
    ] as const) {
      await withPage(
        t,
        async (page) => {
          await page.goto(embed(id))
          await loaded(page)
          await video(page).evaluate((element: Video) => {
            element.play().catch(() => {})
          })
          await says(page, text)
        },
        /Content Security Policy/
      )
    }
  })

  await t.test('a media that is being prepared starts when it is ready; one that failed says why', (t) =>
    withPage(
      t,
      async (page) => {
        await server.query(`update media set status = 'processing', progress = 40 where id = '${encrypted}'`)
        await server.inject({
          method: 'PATCH',
          url: `/media/${encrypted}`,
          headers: instructor.headers,
          payload: { visibility: 'public' }
        })
        await page.goto(embed(encrypted))
        await says(page, 'still being prepared (40 %)')
        await shot(page, 'not-ready')
        await server.query(`update media set status = 'ready', progress = 100 where id = '${encrypted}'`)
        await loaded(page)
        await play(page)
        await until(page, 'playing', ({ currentTime }) => currentTime > 0.3)
        const failed = await make({ visibility: 'public', protection: 'encrypted', title: 'Bad' }, 'tiny.avi')
        await page.goto(embed(failed))
        await says(page, 'could not be prepared')
        await shot(page, 'failed')
      },
      /409/
    )
  )

  await t.test('without MediaSource the browser itself plays the encrypted stream, and goes on with a new link', (t) =>
    withPage(
      t,
      async (page, requests) => {
        await page.addInitScript('delete window.MediaSource; delete window.ManagedMediaSource')
        await page.exposeFunction('answer', () => linkTo(encrypted))
        const frame = await inFrame(page, embed(encrypted, await linkTo(encrypted)))
        await loaded(frame)
        await play(frame)
        t.match((await until(frame, 'playing', ({ currentTime }) => currentTime > 0.3)).currentSrc, /master\.m3u8$/)
        t.notOk(requests.some((url) => url.includes('hls.light')))
        await revoke(encrypted)
        await seek(frame, 70)
        await until(frame, 'going on', ({ currentTime, paused }) => currentTime > 70.3 && !paused)
      },
      /403/
    )
  )

  await t.test('a server that is away for a while is said, and tried again', (t) =>
    withPage(
      t,
      async (page) => {
        await page.goto(embed(plain, await linkTo(plain)))
        await loaded(page)
        await page.route('**/*', (route) => route.abort())
        await page.evaluate('location.hash += "&again"')
        await says(page, 'cannot be reached')
        await page.unroute('**/*')
        await page.locator('[role=status]:empty').waitFor({ state: 'attached' })
        await play(page)
        await until(page, 'playing', ({ currentTime }) => currentTime > 0.3)
      },
      /ERR_FAILED/
    )
  )
})
