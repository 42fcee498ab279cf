/**
 * The player's page for one media. It holds nothing but the id, which is escaped: what may be said is decided by the
 * API's answers.
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
<video controls playsinline preload="none" tabindex="0" aria-label="Media player"></video>
<p role="status" aria-live="polite"></p>
<noscript>This player needs JavaScript.</noscript>
</main>
</html>
`
}

/** Mux's playlists, segments and licences come from many hosts. */
const MUX_HOSTS = 'https://*.mux.com'

/**
 * The page's policy: all of it comes from here, but for `blob:`, which hls.js feeds the video and its worker by, and
 * for Mux's hosts where media are played by it (`hosted`). `*` as an ancestor is any site.
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
