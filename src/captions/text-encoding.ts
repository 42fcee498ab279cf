const MARKS = [
  { encoding: 'utf-8', mark: [0xef, 0xbb, 0xbf] },
  { encoding: 'utf-16le', mark: [0xff, 0xfe] },
  { encoding: 'utf-16be', mark: [0xfe, 0xff] }
] as const

/**
 * Decodes a text file by its byte order mark, or as UTF-8 without one. Returns the text without the mark, with `\n` as
 * its line break and without NUL (WebVTT, section 6.1). Undefined for bytes that are not valid in that encoding.
 */
export function decodeText (bytes: Uint8Array): string | undefined {
  const known = MARKS.find(({ mark }) => mark.every((byte, index) => bytes[index] === byte))
  try {
    const text = decode(bytes.subarray(known?.mark.length ?? 0), known?.encoding ?? 'utf-8')
    return text.replaceAll(/\r\n?/g, '\n').replaceAll('\0', '\ufffd')
  } catch {
    return undefined
  }
}

/** Node without full ICU decodes no big-endian text, so its bytes are swapped. */
function decode (bytes: Uint8Array, encoding: (typeof MARKS)[number]['encoding']): string {
  if (encoding !== 'utf-16be') return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes)
  if (bytes.length % 2 === 1) throw new TypeError('half a character at the end')
  return new TextDecoder('utf-16le', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes).swap16())
}
