import { performance } from 'node:perf_hooks'
import { call } from '../test/support/server-process.js'
import type { Bench, Sample } from './bench.js'
import { withCleanUp } from './environment.js'
import { cpuSecondsOf, startProgram, type Program } from './processes.js'
import { startBenchServer } from './bench-server.js'

/** From nothing to the first answer, on a database that is there. */
export const start: Bench = {
  name: 'start',
  about: 'from the start of the process to its first answer, compiled',
  unit: 'start',
  gated: true,
  warmUp: 1,
  rows: [
    {
      what: 'Start to first answer',
      figure: 'seconds',
      subject: 'Playgate',
      baseline: 'Fastify with the same plugins',
      atMost: 1.4
    }
  ],
  async open (t) {
    const server = await startBenchServer(t)
    const ended = new Promise((resolve) => server.child.once('exit', resolve))
    server.child.kill('SIGTERM')
    await ended
    const side = (file: string, env: Record<string, string>) => () =>
      withCleanUp(async (t): Promise<Sample> => {
        const begin = performance.now()
        const program: Program = await startProgram(t, file, env)
        if ((await call(program.origin, '/livez')).status === 0) throw new Error('no answer')
        return { units: 1, seconds: (performance.now() - begin) / 1000, cpuSeconds: cpuSecondsOf(program.pids) }
      })
    return {
      Playgate: side('bundle/server.js', server.env),
      'Fastify with the same plugins': side('bench/baselines/plugins.js', { DATABASE: server.database })
    }
  }
}
