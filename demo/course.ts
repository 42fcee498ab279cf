import { parseArgs } from 'node:util'
import { DemoFailure } from './client.js'
import { playCourse } from './course-story.js'
import { createMuxTheatre } from './mux-theatre.js'
import { fixtureFile, perform, type Stage } from './stage.js'
import { inBytes } from './terminal.js'

// npm run demo:course [-- --mux]: an instructor and two students against a throw-away server, of which nothing is left.
// With --mux the lectures are played by Mux, or rather by the double of it that the tests use.

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
