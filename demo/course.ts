import { parseArgs } from 'node:util'
import { DemoFailure } from './client.js'
import { playCourse } from './course-story.js'
import { createMuxTheatre } from './mux-theatre.js'
import { fixtureFile, perform, type Stage } from './stage.js'
import { inBytes } from './terminal.js'

// `npm run demo:course [-- --mux]` runs the story of an instructor and two students against a temporary server, which
// it removes. With --mux, the fake Mux of the tests plays the lectures.

async function run ({ terminal, start, end }: Stage): Promise<void> {
  const files = await Promise.all(['tiny.mp4', 'tiny.webm', 'tiny.mp3'].map(fixtureFile))
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const withMux = options().mux
  terminal.title(
    `Playgate demo: a course of ${files.length} lectures, ${inBytes(totalBytes)}${withMux ? ', by way of Mux' : ''}`
  )
  const theatre = withMux ? await createMuxTheatre(terminal) : undefined
  const instance = await start(totalBytes, theatre?.environment)
  theatre?.sendWebhooksTo(instance.origin)
  await playCourse(instance.origin, files, terminal, theatre)
  await theatre?.close()
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

await perform(run)
