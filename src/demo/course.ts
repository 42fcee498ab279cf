import { playCourse } from './course-story.js'
import { fixtureFile, perform, type Stage } from './stage.js'
import { inBytes } from './terminal.js'

// npm run demo:course: an instructor and two students against a throw-away server, of which nothing is left.

async function run ({ terminal, start, end }: Stage): Promise<void> {
  const files = await Promise.all(['tiny.mp4', 'tiny.webm', 'tiny.mp3'].map(fixtureFile))
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  terminal.title(`Playgate demo: a course of ${files.length} lectures, ${inBytes(totalBytes)}`)
  const instance = await start(totalBytes)
  await playCourse(instance.origin, files, terminal)
  await end()
}

await perform(run)
