/* global Hls */

const HLS_TYPE = 'application/vnd.apple.mpegurl'
/** Half a minute, as hls.js has it at least: by itself it would fetch ten, for viewers who may leave. */
const AHEAD = { maxBufferLength: 30, maxMaxBufferLength: 30 }
let library

/** hls.js, fetched when it is first needed; undefined where it can't work, or can't be had. */
async function hlsLibrary () {
  if (!('MediaSource' in window || 'ManagedMediaSource' in window)) return undefined
  library ??= new Promise((resolve) => {
    const script = document.createElement('script')
    script.src = '/embed/hls.light.min.js'
    script.onload = () => resolve(Hls.isSupported() ? Hls : undefined)
    script.onerror = () => { library = undefined; script.remove(); resolve(undefined) }
    document.head.append(script)
  })
  return await library
}

/**
 * What plays links in a video element: the browser itself, or hls.js for encrypted ones. `onError` gets `network` or `codec`. Nothing is
 * loaded before somebody plays, or `load` is told to be eager: the first bytes are a view.
 */
export function createEngine (video, onError) {
  let hls
  let link
  let idle = false

  video.addEventListener('error', () => {
    if (hls === undefined && video.error !== null) onError(video.error.code === MediaError.MEDIA_ERR_NETWORK ? 'network' : 'codec')
  })
  video.addEventListener('play', () => { if (hls !== undefined && idle) start(-1) })

  function start (time) {
    idle = false
    hls.startLoad(time)
  }

  function playByLibrary (Hls, time, eager) {
    // Every request carries the link of now: a renewed one is taken without a break.
    const xhrSetup = (xhr, url) => xhr.open('GET', link.base + url.slice(url.lastIndexOf('/') + 1), true)
    const mine = hls = new Hls({ ...AHEAD, autoStartLoad: false, startPosition: time || -1, xhrSetup })
    let recovered = false
    idle = !eager
    hls.on(Hls.Events.MANIFEST_PARSED, () => { if (mine === hls && !idle) start(time || -1) })
    hls.on(Hls.Events.ERROR, (_event, { fatal, type, details, response }) => {
      // A refusal is final, though hls.js goes on asking for other segments.
      if (mine !== hls || (!fatal && ![401, 403, 404, 409].includes(response?.code))) return
      if (type === Hls.ErrorTypes.NETWORK_ERROR) return onError('network')
      if (type !== Hls.ErrorTypes.MEDIA_ERROR || recovered || /codec/i.test(details)) return onError('codec')
      recovered = true
      mine.recoverMediaError()
    })
    hls.loadSource(link.url)
    hls.attachMedia(video)
  }

  return {
    /** Starts anew with a link, `time` seconds from the start. Answers false if this browser has no way to play it. */
    async load (next, { time, eager }) {
      const Library = next.encrypted ? await hlsLibrary() : undefined
      if (next.encrypted && Library === undefined && video.canPlayType(HLS_TYPE) === '') return false
      hls?.destroy()
      hls = undefined
      link = next
      if (Library !== undefined) {
        playByLibrary(Library, time, eager)
      } else {
        video.preload = eager ? 'auto' : 'none'
        video.src = link.url
      }
      return true
    },

    /** Goes on with a newer link, unseen and unheard. Answers false where only {@link load} can. */
    renew (next) {
      if (hls === undefined || !next.encrypted) return false
      link = next
      return true
    }
  }
}
