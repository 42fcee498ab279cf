import { mint, problemOf, serverNow } from './api.js'
import { createEngine } from './engine.js'
import { linkInFragment, readLink, renewIn } from './links.js'
import { sentenceFor } from './words.js'

const NOT_READY_MS = 3000
const TROUBLE_MS = 5000

const video = document.querySelector('video')
const mediaId = document.documentElement.dataset.media
const framed = window.parent !== window
const engine = createEngine(video, stop)

/** The link that plays, or was tried last. */
let link
/** A newer one, for when the browser's own player is refused the one it has. */
let spare
/** Whether this page mints its links itself. */
let own = false
/** Whether a link was asked for since something last played: a bad answer is not asked for again. */
let asked = false
/** Whether nothing can be played until something changes. */
let stopped = true
/** Where to go on once a link is loaded: `{ time, rate }`; undefined when there is nothing to restore. */
let spot
/** What the viewer wants: the video's own `paused` is true after an error in Chromium's HLS player. */
let playing = false
let attempt = 0
let retryTimer, renewTimer

function say (text) {
  const status = document.querySelector('[role=status]')
  if (status.textContent !== text) status.textContent = text
}

/** Opens what the address says: the link in its fragment, or a public media. */
async function open () {
  const given = linkInFragment(location.hash)
  if (given === undefined) return await takeOwn()
  own = false
  const next = readLink(given, mediaId, location.origin)
  return next === undefined ? fail({ code: 'link_refused' }) : await take(next)
}

/** Mints a link and takes it. */
async function takeOwn () {
  const mine = ++attempt
  const { media, link: next, problem } = await mint(mediaId, own ? link : undefined)
  if (mine !== attempt) return
  own = media !== undefined
  if (own) {
    document.title = media.title
    video.setAttribute('aria-label', media.title)
  }
  return problem === undefined ? await play(next) : fail(problem)
}

/** Takes a link if it is good, and says what is wrong with it if it is not. */
async function take (next) {
  const mine = ++attempt
  link = next
  const problem = await problemOf(next, mediaId)
  if (mine === attempt) await (problem === undefined ? play(next) : fail(problem))
}

/** Plays a link from where things stood; on a page just opened it waits to be started. */
async function play (next) {
  clearTimeout(retryTimer)
  if (video.currentTime > 0 || playing) spot ??= { time: video.currentTime, rate: video.playbackRate }
  link = next
  stopped = false
  renewLater(next)
  const known = await engine.load(next, { time: spot?.time ?? 0, eager: spot !== undefined })
  if (known) say('')
  else fail({ code: 'no_hls' })
}

video.addEventListener('play', () => {
  playing = true
})
video.addEventListener('pause', () => {
  if (video.error === null) playing = false
})
video.addEventListener('loadedmetadata', () => {
  asked = false
  if (spot === undefined) return
  const { time, rate } = spot
  spot = undefined
  // A viewer who moved on while the new link was loading is not taken back.
  if (time > 0 && video.currentTime === 0) video.currentTime = time
  video.defaultPlaybackRate = video.playbackRate = rate
  if (playing) video.play().catch(() => say('Press play to go on.'))
})

/** What plays has stopped: the link tells why, or it was the network (`network`) or the browser (`codec`). */
async function stop (code) {
  const mine = ++attempt
  stopped = true
  const problem = await problemOf(link, mediaId)
  if (mine === attempt) fail(problem ?? { code })
}

/** Says what is wrong, and does what can be done about it: another link, or another try. */
function fail (problem) {
  const { code, status, error, retry_after: seconds } = problem
  stopped = true
  clearTimeout(retryTimer)
  say(sentenceFor(problem))
  const next = spare
  spare = undefined
  if (status === 401 || status === 403 || code === 'link_refused') {
    if (next !== undefined) return void take(next)
    if (asked) return
    asked = true
    askForLink()
  } else if (
    error === undefined &&
    (code === 'media_not_ready' || code === 'network' || status === 429 || status >= 500)
  ) {
    const wait = code === 'media_not_ready' ? NOT_READY_MS : Math.max(TROUBLE_MS, (seconds ?? 0) * 1000)
    retryTimer = setTimeout(() => (link === undefined || own ? takeOwn() : take(link)), wait)
  }
}

/** Asks for a link: this page's own minting, or the page around it. */
function askForLink () {
  if (own) return void takeOwn()
  if (framed) window.parent.postMessage({ type: 'playgate:link-needed', media_id: mediaId }, '*')
}

/** Sees to it that there is a new link before this one ends. */
function renewLater ({ expiresAt }) {
  clearTimeout(renewTimer)
  renewTimer = setTimeout(
    async () => {
      if (!own) return askForLink()
      const { link: next } = await mint(mediaId, link)
      if (next !== undefined) goOnWith(next)
    },
    renewIn(expiresAt - serverNow())
  )
}

/** A new link has come: taken at once if nothing plays, else without a break, or kept until it is needed. */
function goOnWith (next) {
  if (stopped) return void take(next)
  asked = false
  if (engine.renew(next)) link = next
  else spare = next
  renewLater(next)
}

window.addEventListener('message', ({ source, data }) => {
  if (!framed || source !== window.parent || data?.type !== 'playgate:link') return
  const next = readLink(data.stream_url, mediaId, location.origin)
  if (next !== undefined) goOnWith(next)
  else if (stopped) say(sentenceFor({ code: 'link_refused' }))
})
window.addEventListener('hashchange', open)

await open()
