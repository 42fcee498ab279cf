/**
 * Returns the form of a text that searches compare: Unicode compatibility forms (NFKC), and case folding beyond ASCII.
 * `STRASSE` and `straße` are equal, and so are composed and decomposed letters. This process folds, because SQLite and
 * Postgres fold differently.
 */
export function fold (text: string): string {
  // Folds each code point, because the lower case of sigma depends on its place in a word. Upper case first turns `ß`
  // into `SS`.
  const folded = Array.from(text.normalize('NFKC'), (letter) => letter.toUpperCase().toLowerCase()).join('')
  return folded.normalize('NFKC')
}
