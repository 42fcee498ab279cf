import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'

/** The environment, and beneath it the `.env` of the current folder. An empty variable does not hide the file's. */
export function readEnvironment (env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  let file = {}
  try {
    file = parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return { ...file, ...Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')) }
}
