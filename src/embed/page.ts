/**
 * Returns the player page of a media. It contains only the escaped id. The player requests everything else from the
 * API, which checks access.
 */
export function embedPage (mediaId: string): string {
  return `<!doctype html>
<html lang="en" data-media="${escapeHtml(mediaId)}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Media player</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/embed/player.css">
<script type="module" src="/embed/player.js"></script>
<main>
<div id="cover" class="plain" hidden>
<h1>Media player</h1>
<button type="button" aria-label="Play"></button>
</div>
<video controls playsinline preload="none" tabindex="0" aria-label="Media player"></video>
<details id="chapters" hidden><summary>Chapters</summary><ol></ol></details>
<p role="status" aria-live="polite"></p>
<noscript>This player needs JavaScript.</noscript>
</main>
</html>
`
}

/** Mux serves playlists, segments and licences from many hosts. */
const MUX_HOSTS = 'https://*.mux.com'

/**
 * Returns the Content-Security-Policy of the player page. The policy allows only this server, with two exceptions.
 * hls.js uses `blob:` for the video and its worker, and with `hosted` the page loads media from Mux. In `origins`, `*`
 * lets any site frame the page.
 */
export function embedPolicy (origins: string[], hosted: boolean): string {
  const elsewhere = hosted ? ` ${MUX_HOSTS}` : ''
  const ancestors = origins.includes('*') ? '*' : ["'self'", ...origins].join(' ')
  return (
    `default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self' blob:${elsewhere}; connect-src ` +
    `'self'${elsewhere}; worker-src 'self' blob:; ` +
    `img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors ${ancestors}`
  )
}

function escapeHtml (text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
