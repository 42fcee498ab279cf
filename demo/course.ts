import { parseArgs } from 'node:util'
import { DemoFailure } from './client.js'
import { runCourseScenario } from './course-scenario.js'
import { startFakeMux } from './fake-mux.js'
import { fixtureFile, runDemo, type DemoRun } from './demo-run.js'
import { inBytes } from './terminal.js'

// `npm run demo:course [-- --mux]` runs the scenario of an instructor and two students against a temporary server, and
// removes the server. With --mux, the fake Mux of the tests plays the lectures.

async function run ({ terminal, start, end }: DemoRun): Promise<void> {
  const files = await Promise.all(['tiny.mp4', 'tiny.webm', 'tiny.mp3'].map(fixtureFile))
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const withMux = options().mux
  terminal.title(
    `Playgate demo: a course of ${files.length} lectures, ${inBytes(totalBytes)}${withMux ? ', by way of Mux' : ''}`
  )
  const fakeMux = withMux ? await startFakeMux(terminal) : undefined
  const instance = await start(totalBytes, fakeMux?.environment)
  fakeMux?.sendWebhooksTo(instance.origin)
  await runCourseScenario(instance.origin, files, terminal, fakeMux)
  await fakeMux?.close()
  await end()
}

function options (): { mux: boolean } {
  try {
    const {
      values: { mux = false }
    } = parseArgs({ options: { mux: { type: 'boolean' } } })
    return { mux }
  } catch {
    throw new DemoFailure('the only option is --mux')
  }
}

await runDemo(run)
