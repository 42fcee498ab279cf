import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'

/**
 * Returns the environment, with `.env` of the current folder as the fallback. An empty variable does not override the
 * value in the file. Calls `onUnknown` with the names in the file that `known` does not contain, such as misspelled
 * ones.
 */
export function readEnvironment (
  env: NodeJS.ProcessEnv,
  known: readonly string[] = [],
  onUnknown: (names: string[]) => void = () => {}
): Record<string, string | undefined> {
  let file: Record<string, string | undefined> = {}
  try {
    file = parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const unknown = Object.keys(file).filter((name) => !known.includes(name))
  if (unknown.length > 0) onUnknown(unknown)
  return { ...file, ...Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')) }
}
