/* global Hls, shaka */

const HLS_TYPE = 'application/vnd.apple.mpegurl'
/** Buffer of 30 s, the minimum of hls.js. Its default is up to ten minutes, which are wasted if the viewer leaves. */
const AHEAD = { maxBufferLength: 30, maxMaxBufferLength: 30 }
const libraries = new Map()

/**
 * Loads a library at its first use. Resolves with undefined if the browser does not support it, or the download fails.
 */
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

/** Returns true if encrypted streams play in hls.js, and false if the browser's own player may play them. */
export const playsByLibrary = () => 'MediaSource' in window || 'ManagedMediaSource' in window

const hlsLibrary = async () =>
  playsByLibrary()
    ? await load('hls.light.min.js', () => (Hls.isSupported() ? Hls : undefined))
    : undefined

/** Loads shaka-player, which only DRM needs. */
const drmLibrary = async () =>
  await load('shaka-player.hls-es2021.js', () => {
    shaka.polyfill.installAll()
    return shaka.Player.isBrowserSupported() ? shaka : undefined
  })

/**
 * Creates the player of links in a video element. Plain streams play in the browser, and encrypted streams play in
 * hls.js or the browser. Streams with DRM play in shaka-player. `onError` gets `network` or `codec`. Nothing is loaded
 * until the viewer presses play or `load` gets `eager`, because the first bytes count as a view.
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
    // Every request uses the current link, so a renewed link takes effect without interruption.
    const xhrSetup = link.base && ((xhr, url) => xhr.open('GET', link.base + url.slice(url.lastIndexOf('/') + 1), true))
    const mine = (hls = new Hls({ ...AHEAD, autoStartLoad: false, startPosition: time || -1, xhrSetup }))
    let recovered = false
    idle = !eager
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      if (mine === hls && !idle) start(time || -1)
    })
    hls.on(Hls.Events.ERROR, (_event, { fatal, type, details, response }) => {
      // A refused request is final, but hls.js would continue with other segments.
      if (mine !== hls || (!fatal && ![401, 403, 404, 409].includes(response?.code))) return
      if (type === Hls.ErrorTypes.NETWORK_ERROR) return onError('network')
      if (type !== Hls.ErrorTypes.MEDIA_ERROR || recovered || /codec/i.test(details)) return onError('codec')
      recovered = true
      mine.recoverMediaError()
    })
    hls.loadSource(link.url)
    hls.attachMedia(video)
  }

  /** Plays with shaka-player, which requests the licences that the playlists name. */
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
    /** Loads a link at `time` seconds from the start. Resolves with false if this browser cannot play the link. */
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

    /** Replaces the link without interruption. Returns false if the newer link needs {@link load}. */
    renew (next) {
      if (hls === undefined || link.base === undefined || next.base === undefined) return false
      link = next
      return true
    }
  }
}
