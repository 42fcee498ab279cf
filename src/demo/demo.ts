import { access, constants, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DemoFailure } from './client.js'
import { startInstance, type Instance } from './instance.js'
import { play } from './story.js'
import { createTerminal, inBytes, shownName, type DemoFile } from './terminal.js'

// npm run demo -- [file.mp4]: the whole story against a throw-away server, of which nothing is left.

const DEFAULT_FILE = fileURLToPath(new URL('../../../test/fixtures/tiny.mp4', import.meta.url))

const terminal = createTerminal(process.stdout)
let remove: Instance['remove'] = async () => {}

async function run (): Promise<void> {
  const file = await demoFile(process.argv[2] ?? DEFAULT_FILE)
  terminal.title(`Playgate demo: ${file.name}, ${inBytes(file.sizeBytes)}`)
  terminal.step('Start a throw-away server')
  const instance = await startInstance(file.sizeBytes, (made) => { remove = made })
  terminal.good(`${instance.origin}, process ${instance.pid}, everything in ${instance.folder}`)
  await play(instance, file, terminal)
  terminal.step('Memory of the server process')
  const { bytes, source } = await instance.peakMemory()
  terminal.good(`${inBytes(bytes)} at its peak (${source})`)
  terminal.step('Remove everything')
  await remove()
  terminal.good('the server has ended, its folder is gone')
}

/** The file to play with, or a {@link DemoFailure} that says what is wrong with the path. */
async function demoFile (path: string): Promise<DemoFile> {
  const absolute = resolve(path)
  const facts = await stat(absolute).catch(() => undefined)
  if (facts === undefined) throw new DemoFailure(`there is no file ${absolute}`)
  if (!facts.isFile()) throw new DemoFailure(`${absolute} is not a file`)
  if (facts.size === 0) throw new DemoFailure(`${absolute} is empty`)
  await access(absolute, constants.R_OK).catch(() => { throw new DemoFailure(`${absolute} may not be read`) })
  return { path: absolute, name: shownName(absolute), sizeBytes: facts.size }
}

/** Rejects when somebody stops the demo, or nobody reads it any more. */
function interruption (): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => reject(new DemoFailure(`stopped by ${signal}`)))
    process.stdout.on('error', () => reject(new DemoFailure('nobody reads what it prints')))
  })
}

try {
  await Promise.race([run(), interruption()])
  process.exitCode = 0
} catch (error) {
  const { message, stack } = error as Error
  process.stderr.write(error instanceof DemoFailure ? `\nThe demo ended early: ${message.replace(/\.$/, '')}.\n` : `\nThe demo failed: ${stack ?? message}\n`)
  process.exitCode = 1
} finally {
  await remove()
  process.exit()
}
