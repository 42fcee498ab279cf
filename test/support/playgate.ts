import { spawn } from 'node:child_process'
import { join } from 'node:path'

/** What a command printed, and how it ended. */
export interface Ran {
  code: number | null
  out: string
  err: string
  json<T>(): T
}

/** Runs the compiled command line on an environment, and gives it `input` on standard input. */
export async function playgate (env: Record<string, string>, args: string[], input = ''): Promise<Ran> {
  const child = spawn(process.execPath, [join('dist', 'src', 'cli.js'), ...args], {
    env: { PATH: process.env.PATH, ...env }
  })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  child.stdin.on('error', () => {}).end(input)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err, json: <T>() => JSON.parse(out) as T }
}
