import { detailsOf, mint, problemOf, serverNow } from './api.js'
import { createCover } from './cover.js'
import { createEngine, playsByLibrary } from './engine.js'
import { linkInFragment, readLink, renewIn } from './links.js'
import { showTracks } from './tracks.js'
import { sentenceFor } from './words.js'

const NOT_READY_MS = 3000
const TROUBLE_MS = 5000

const video = document.querySelector('video')
const mediaId = document.documentElement.dataset.media
const framed = window.parent !== window
const engine = createEngine(video, stop)
const cover = createCover(video)

/** The link that is playing, or was tried last. */
let link
/** A newer link, used if the server refuses the current link of the browser's own player. */
let spare
/** True if this page creates its own links. */
let own = false
/** True if a link was requested since the last playback. After an invalid link, no other link is requested. */
let asked = false
/** True while playback is stopped, until a new link or a retry. */
let stopped = true
/** The position to restore when a link is loaded, as `{ time, rate }`; undefined if there is none. */
let spot
/** True if the viewer wants to play. `paused` of the video is true after an error in Chromium's HLS player. */
let playing = false
let attempt = 0
let retryTimer, renewTimer

function say (text) {
  const status = document.querySelector('[role=status]')
  if (status.textContent !== text) status.textContent = text
}

/** Plays the link in the page's fragment. Without a fragment, plays a public media. */
async function open () {
  const given = linkInFragment(location.hash)
  if (given === undefined) return await takeOwn()
  own = false
  const next = readLink(given, mediaId, location.origin)
  return next === undefined ? fail({ code: 'link_refused' }) : await take(next)
}

/** Creates a link and plays it. */
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

/** Checks a link, and plays it or shows its problem. */
async function take (next) {
  const mine = ++attempt
  link = next
  const problem = await problemOf(next, mediaId)
  if (mine === attempt) await (problem === undefined ? play(next) : fail(problem))
}

/** Loads a link at the current position. On a page that was just opened, playback waits for the viewer. */
async function play (next) {
  clearTimeout(retryTimer)
  if (video.currentTime > 0 || playing) spot ??= { time: video.currentTime, rate: video.playbackRate }
  link = next
  stopped = false
  renewLater(next)
  const known = await engine.load(next, { time: spot?.time ?? 0, eager: spot !== undefined })
  if (!known) return fail({ code: 'no_hls' })
  say('')
  cover.show()
  await describe(next)
}

/** Shows what belongs to a link: title, poster, captions and chapters. */
async function describe (next) {
  const details = await detailsOf(next)
  if (details === undefined || next !== link) return
  cover.describe(details)
  // The browser's own player of HLS finds the captions in the playlist.
  if (!next.encrypted || playsByLibrary()) showTracks(video, details)
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
  // If the viewer moved the position while the new link was loading, the old position is not restored.
  if (time > 0 && video.currentTime === 0) video.currentTime = time
  video.defaultPlaybackRate = video.playbackRate = rate
  if (playing) video.play().catch(() => say('Press play to go on.'))
})

/** Handles a stopped player. Shows the problem of the link, or else `code`: `network` or `codec`. */
async function stop (code) {
  const mine = ++attempt
  stopped = true
  const problem = await problemOf(link, mediaId)
  if (mine === attempt) fail(problem ?? { code })
}

/** Shows a problem. Requests another link or retries if the problem allows it. */
function fail (problem) {
  const { code, status, error, retry_after: seconds } = problem
  stopped = true
  clearTimeout(retryTimer)
  say(sentenceFor(problem))
  cover.hide()
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

/** Creates a link, or requests a link from the embedding page. */
function askForLink () {
  if (own) return void takeOwn()
  if (framed) window.parent.postMessage({ type: 'playgate:link-needed', media_id: mediaId }, '*')
}

/** Schedules the next link before this link expires. */
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

/**
 * Uses a new link at once if playback is stopped. Otherwise the link is used without interruption, or stored in
 * `spare`.
 */
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
