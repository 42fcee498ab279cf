/* global Hls, shaka */

const HLS_TYPE = 'application/vnd.apple.mpegurl'
/** Half a minute, as hls.js has it at least: by itself it would fetch ten, for viewers who may leave. */
const AHEAD = { maxBufferLength: 30, maxMaxBufferLength: 30 }
const libraries = new Map()

/** A library, fetched when it is first needed; undefined where it can't work, or can't be had. */
async function load (file, find) {
  if (!libraries.has(file)) {
    libraries.set(
      file,
      new Promise((resolve) => {
        const script = document.createElement('script')
        script.src = `/embed/${file}`
        script.onload = () => resolve(find())
        script.onerror = () => {
          libraries.delete(file)
          script.remove()
          resolve(undefined)
        }
        document.head.append(script)
      })
    )
  }
  return await libraries.get(file)
}

const hlsLibrary = async () =>
  'MediaSource' in window || 'ManagedMediaSource' in window
    ? await load('hls.light.min.js', () => (Hls.isSupported() ? Hls : undefined))
    : undefined

/** Only for DRM. */
const drmLibrary = async () =>
  await load('shaka-player.hls-es2021.js', () => {
    shaka.polyfill.installAll()
    return shaka.Player.isBrowserSupported() ? shaka : undefined
  })

/**
 * What plays links in a video element: the browser itself, hls.js for encrypted ones, or shaka-player for those with
 * DRM. `onError` gets `network` or `codec`. Nothing is loaded before somebody plays, or `load` is told to be eager: the
 * first bytes are a view.
 */
export function createEngine (video, onError) {
  let hls
  let drmPlayer
  let link
  let idle = false

  video.addEventListener('error', () => {
    if (hls === undefined && drmPlayer === undefined && video.error !== null) {
      onError(video.error.code === MediaError.MEDIA_ERR_NETWORK ? 'network' : 'codec')
    }
  })
  video.addEventListener('play', () => {
    if (hls !== undefined && idle) start(-1)
  })

  function start (time) {
    idle = false
    hls.startLoad(time)
  }

  function playByLibrary (Hls, time, eager) {
    // Every request carries the link of now: a renewed one is taken without a break.
    const xhrSetup = link.base && ((xhr, url) => xhr.open('GET', link.base + url.slice(url.lastIndexOf('/') + 1), true))
    const mine = (hls = new Hls({ ...AHEAD, autoStartLoad: false, startPosition: time || -1, xhrSetup }))
    let recovered = false
    idle = !eager
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      if (mine === hls && !idle) start(time || -1)
    })
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

  /** Licences are asked for as the playlists say which they need. */
  async function playByDrmLibrary ({ Player, util }, time, eager) {
    const { widevine, playready, fairplay, fairplay_certificate: certificate } = link.drm
    const mine = (drmPlayer = new Player())
    const { url } = link
    const failed = ({ category } = {}) => {
      if (mine === drmPlayer) onError(category === util.Error.Category.NETWORK ? 'network' : 'codec')
    }
    mine.addEventListener('error', ({ detail }) => failed(detail))
    mine.configure({
      streaming: { bufferingGoal: AHEAD.maxBufferLength },
      drm: {
        servers: { 'com.widevine.alpha': widevine, 'com.microsoft.playready': playready, 'com.apple.fps': fairplay },
        advanced: { 'com.apple.fps': { serverCertificateUri: certificate } }
      }
    })
    await mine.attach(video)
    const go = () => {
      if (mine === drmPlayer) mine.load(url, time || null).catch(failed)
    }
    if (eager) go()
    else video.addEventListener('play', go, { once: true })
  }

  return {
    /** Starts again with a link, `time` seconds from the start. Answers false if this browser has no way to play it. */
    async load (next, { time, eager }) {
      const drm = next.drm && (await drmLibrary())
      if (next.drm && drm === undefined) return false
      const Library = next.encrypted && !next.drm ? await hlsLibrary() : undefined
      if (next.encrypted && !next.drm && Library === undefined && video.canPlayType(HLS_TYPE) === '') return false
      hls?.destroy()
      hls = undefined
      await drmPlayer?.destroy()
      drmPlayer = undefined
      link = next
      if (drm !== undefined) {
        await playByDrmLibrary(drm, time, eager)
      } else if (Library !== undefined) {
        playByLibrary(Library, time, eager)
      } else {
        video.preload = eager ? 'auto' : 'none'
        video.src = link.url
      }
      return true
    },

    /** Goes on with a newer link, unseen and unheard. Answers false where only {@link load} can. */
    renew (next) {
      if (hls === undefined || link.base === undefined || next.base === undefined) return false
      link = next
      return true
    }
  }
}
