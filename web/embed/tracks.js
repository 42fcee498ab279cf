const menu = document.querySelector('#chapters')
const list = menu.querySelector('ol')
/** The states of a track element (HTML, section 4.8.11.11.5). */
const [NONE, ERROR] = [0, 3]

/**
 * Shows captions and chapters in a video. A link that is renewed has new addresses. Only tracks that are not loaded yet
 * need them.
 */
export function showTracks (video, { captions, chapters_url: chaptersUrl }) {
  for (const { language, kind, label, default: isDefault, url } of captions) {
    // The browser shows the default track, or another one that the viewer's settings prefer.
    put(video, `track-${kind}-${language}`, { kind, label, srclang: language, default: isDefault, src: url })
  }
  if (chaptersUrl === null) return
  const chapters = put(video, 'track-chapters', { kind: 'chapters', src: chaptersUrl })
  if (chapters === undefined) return
  chapters.addEventListener('load', () => showChapters(video, chapters.track.cues))
  chapters.track.mode = 'hidden'
}

/** Adds a track, and returns it. Returns undefined for a track that exists, whose address is replaced if needed. */
function put (video, id, properties) {
  const known = document.getElementById(id)
  if (known === null) {
    const track = Object.assign(document.createElement('track'), { id, ...properties })
    video.append(track)
    return track
  }
  if (known.readyState === NONE || known.readyState === ERROR) known.src = properties.src
  return undefined
}

function showChapters (video, cues) {
  const items = Array.from(cues, ({ startTime, text }) => {
    const [item, button] = [document.createElement('li'), document.createElement('button')]
    button.type = 'button'
    button.textContent = plainText(text)
    button.addEventListener('click', () => {
      video.currentTime = startTime
      menu.open = false
      video.play().catch(() => {})
      video.focus()
    })
    item.append(button)
    return item
  })
  list.replaceChildren(...items)
  menu.hidden = items.length === 0
}

const ESCAPES = { '&lt;': '<', '&gt;': '>', '&amp;': '&' }

function plainText (text) {
  return text.replaceAll(/&(?:lt|gt|amp);/g, (escape) => ESCAPES[escape])
}
