import { demoFile, fixtureFile, runDemo, type DemoRun } from './demo-run.js'
import { runScenario } from './scenario.js'
import { inBytes } from './terminal.js'

// `npm run demo -- [file.mp4]` runs the whole scenario against a temporary server, which it removes.

async function run ({ terminal, start, end }: DemoRun): Promise<void> {
  const file = await (process.argv[2] === undefined ? fixtureFile('tiny.mp4') : demoFile(process.argv[2]))
  terminal.title(`Playgate demo: ${file.name}, ${inBytes(file.sizeBytes)}`)
  const instance = await start(file.sizeBytes)
  await runScenario(instance, file, terminal)
  terminal.step('Memory of the server process')
  const { bytes, source } = await instance.peakMemory()
  terminal.good(`${inBytes(bytes)} at its peak (${source})`)
  await end()
}

await runDemo(run)
