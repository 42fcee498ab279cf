/** The usual file name ending of a content type. */
const endings: Record<string, string> = {
  'video/mp4': 'mp4',
  'video/x-m4v': 'm4v',
  'video/quicktime': 'mov',
  'video/x-matroska': 'mkv',
  'video/webm': 'webm',
  'video/x-msvideo': 'avi',
  'audio/mpeg': 'mp3',
  'audio/wav': 'wav',
  'audio/mp4': 'm4a',
  'audio/aac': 'aac',
  'audio/ogg': 'ogg',
  'audio/flac': 'flac'
}

/** What ends a quoted string, or means something in a path. */
const UNSAFE = /[\\/:*?"<>|]/g

/**
 * `inline` with a file name made of the title (RFC 6266): plain ASCII for old clients, RFC 8187's form for the others.
 */
export function inlineDisposition (title: string, contentType: string): string {
  const name = `${title.replaceAll(UNSAFE, '_')}.${endings[contentType] ?? 'bin'}`
  // Once more: normalising makes plain quotes and slashes of their full-width forms.
  const ascii = name
    .normalize('NFKD')
    .replaceAll(/[^\x20-\x7e]/g, '')
    .replaceAll(UNSAFE, '_')
    .replaceAll('%', '_')
  const plain = `inline; filename="${ascii}"`
  const encoded = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )
  return ascii === name ? plain : `${plain}; filename*=UTF-8''${encoded}`
}
