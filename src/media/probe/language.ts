/** Longer than each registered tag. */
const MAX_LENGTH = 35
/** Undetermined, no linguistic content, and several languages (ISO 639-2). */
const NO_LANGUAGES = ['und', 'zxx', 'mul', 'mis']

/** Returns a language tag in the syntax of BCP 47 (RFC 5646, 2.1), or null for anything else. */
export function languageOf (found: string): string | null {
  const isTag = found.length <= MAX_LENGTH && /^[a-z]{2,3}(?:-[a-z0-9]{1,8})*$/i.test(found)
  return isTag && !NO_LANGUAGES.includes(found.toLowerCase()) ? found : null
}
