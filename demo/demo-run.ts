import { access, constants, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DemoFailure } from './client.js'
import { startInstance, type Instance } from './instance.js'
import { createTerminal, shownName, type DemoFile, type Terminal } from './terminal.js'

/** The environment of a demo: the terminal, and a server that the demo starts and ends. */
export interface DemoRun {
  terminal: Terminal
  /**
   * Starts the server as a step of the scenario. `maxUploadBytes` limits one upload and all uploads together. `extra`
   * has additional environment variables.
   */
  start(maxUploadBytes: number, extra?: Record<string, string>): Promise<Instance>
  /** Removes the server and its folder, as the last step. */
  end(): Promise<void>
}

/**
 * Runs a demo and ends the process: with exit code 0 if all checks passed, else 1. The server and its folder are always
 * removed.
 */
export async function runDemo (run: (demo: DemoRun) => Promise<void>): Promise<void> {
  const terminal = createTerminal(process.stdout)
  let remove: Instance['remove'] = async () => {}
  const demo: DemoRun = {
    terminal,
    async start (maxUploadBytes, extra = {}) {
      terminal.step('Start a throw-away server')
      const instance = await startInstance(maxUploadBytes, extra, (made) => {
        remove = made
      })
      terminal.good(`${instance.origin}, process ${instance.pid}, everything in ${instance.folder}`)
      return instance
    },
    async end () {
      terminal.step('Remove everything')
      await remove()
      terminal.good('the server has ended, its folder is gone')
    }
  }
  try {
    await Promise.race([run(demo), interruption()])
    process.exitCode = 0
  } catch (error) {
    const { message, stack } = error as Error
    process.stderr.write(
      error instanceof DemoFailure
        ? `\nThe demo ended early: ${message.replace(/\.$/, '')}.\n`
        : `\nThe demo failed: ${stack ?? message}\n`
    )
    process.exitCode = 1
  } finally {
    await remove()
    process.exit()
  }
}

/** Returns a file of the test suite, which is part of the source. */
export const fixtureFile = async (name: string): Promise<DemoFile> =>
  await demoFile(fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url)))

/** Returns the file at a path. **Throws** {@link DemoFailure} with the problem of the path. */
export async function demoFile (path: string): Promise<DemoFile> {
  const absolute = resolve(path)
  const facts = await stat(absolute).catch(() => undefined)
  if (facts === undefined) throw new DemoFailure(`there is no file ${absolute}`)
  if (!facts.isFile()) throw new DemoFailure(`${absolute} is not a file`)
  if (facts.size === 0) throw new DemoFailure(`${absolute} is empty`)
  await access(absolute, constants.R_OK).catch(() => {
    throw new DemoFailure(`${absolute} may not be read`)
  })
  return { path: absolute, name: shownName(absolute), sizeBytes: facts.size }
}

/** Rejects if a signal stops the demo, or if its output is closed. */
function interruption (): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => reject(new DemoFailure(`stopped by ${signal}`)))
    }
    process.stdout.on('error', () => reject(new DemoFailure('nobody reads what it prints')))
  })
}
