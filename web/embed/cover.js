const cover = document.querySelector('#cover')
const heading = cover.querySelector('h1')
const button = cover.querySelector('button')

/**
 * Creates the picture before playback: poster, title and a play button, over the controls of the browser. It is gone
 * for good when playback starts.
 */
export function createCover (video) {
  let isOver = false

  cover.addEventListener('click', () => {
    video.inert = false
    video.play().catch(() => setHidden(isOver))
    video.focus()
  })
  video.addEventListener('play', () => {
    isOver = true
    setHidden(true)
  })

  /** The controls below the cover are hidden and get no focus. */
  function setHidden (hidden) {
    cover.hidden = hidden
    video.controls = hidden
    video.inert = !hidden
  }

  return {
    show () {
      setHidden(isOver)
    },

    hide () {
      setHidden(true)
    },

    /** Shows the title, and the poster if the media has one. */
    describe ({ title, poster_url: poster }) {
      document.title = title
      video.setAttribute('aria-label', title)
      heading.textContent = title
      button.setAttribute('aria-label', `Play ${title}`)
      cover.classList.toggle('plain', poster === null)
      if (poster !== null && !isOver) video.poster = poster
    }
  }
}
