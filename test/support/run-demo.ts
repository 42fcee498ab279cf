import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * Runs a demo with a temporary folder of its own; `onOutput` sees all it has printed so far, whenever there is more.
 */
export async function runDemo (
  t: Test,
  script: 'demo' | 'course',
  file: string[] = [],
  onOutput: (output: string, stop: () => void) => void = () => {}
) {
  const folder = await mkdtemp(join(tmpdir(), 'playgate-demo-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const demo = spawn(process.execPath, [`dist/demo/${script}.js`, ...file], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let [output, errors] = ['', '']
  demo.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    onOutput(output, () => demo.kill('SIGINT'))
  })
  demo.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const status = await new Promise<number | null>((resolve) => demo.on('close', resolve))
  return { status, output, errors, left: await readdir(folder) }
}

/** Whether the server that a demo named is still there. */
export function serverRuns (output: string): boolean {
  const pid = Number(/process (\d+)/.exec(output)?.[1])
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
