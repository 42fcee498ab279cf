/** The usual file extension of each content type. */
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

/** Characters that end a quoted string or have a meaning in a path. */
const UNSAFE = /[\\/:*?"<>|]/g

/** Returns the disposition of a file that a browser shows. */
export function inlineDisposition (title: string, contentType: string): string {
  return dispositionOf('inline', title, contentType)
}

/** Returns the disposition of a file that a browser saves. */
export function attachmentDisposition (title: string, contentType: string): string {
  return dispositionOf('attachment', title, contentType)
}

/**
 * Returns a disposition with a file name made from the title (RFC 6266). The name is plain ASCII for old clients, and
 * in the form of RFC 8187 for other clients.
 */
function dispositionOf (kind: 'inline' | 'attachment', title: string, contentType: string): string {
  const name = `${title.replaceAll(UNSAFE, '_')}.${endings[contentType] ?? 'bin'}`
  // Replaces unsafe characters again, because NFKD turns full-width quotes and slashes into plain quotes and slashes.
  const ascii = name
    .normalize('NFKD')
    .replaceAll(/[^\x20-\x7e]/g, '')
    .replaceAll(UNSAFE, '_')
    .replaceAll('%', '_')
  const plain = `${kind}; filename="${ascii}"`
  const encoded = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )
  return ascii === name ? plain : `${plain}; filename*=UTF-8''${encoded}`
}
