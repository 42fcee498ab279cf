/**
 * A text as searches compare it: Unicode compatibility forms (NFKC) and case folded, beyond ASCII too. `STRASSE` and
 * `straße` are equal, and so are composed and decomposed letters. Computed here, since SQLite and Postgres fold
 * differently.
 */
export function fold (text: string): string {
  // By code point: a lower-case sigma depends on its place in a word. Upper case comes first: it makes `SS` of `ß`.
  const folded = Array.from(text.normalize('NFKC'), (letter) => letter.toUpperCase().toLowerCase()).join('')
  return folded.normalize('NFKC')
}
