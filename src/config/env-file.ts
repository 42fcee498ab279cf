import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'

/**
 * The environment, and beneath it the `.env` of the current folder. An empty variable does not hide the file's.
 * `onUnknown` is told of names in the file that are not in `known`: a typing error would otherwise go unseen.
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
