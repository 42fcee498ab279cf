/** The longest tag of BCP 47 with one extension has fewer characters. */
const MAX_TAG_LENGTH = 35

/**
 * Returns a language tag of BCP 47 in its canonical form, such as `pt-BR` for `pt-br`. Undefined for a text that is not
 * a tag.
 */
export function canonicalLanguage (text: string): string | undefined {
  if (text.length > MAX_TAG_LENGTH) return undefined
  try {
    const [tag] = Intl.getCanonicalLocales(text)
    return tag
  } catch {
    return undefined
  }
}

/** Returns the name of a language in that language, such as `Deutsch` for `de`. Returns the tag if it has no name. */
export function languageName (tag: string): string {
  return new Intl.DisplayNames([tag], { type: 'language', fallback: 'code' }).of(tag) ?? tag
}
