import { closeSync, openSync } from 'node:fs'
import { createPasswordHasher, startHashWorkers } from '../../src/accounts/passwords.js'
import { createProber } from '../../src/media/probe/probe.js'
import { Ffmpeg } from '../../src/protection/hls/ffmpeg.js'
import { packageFile } from '../../src/protection/hls/packager.js'
import { encodeAll } from '../../src/protection/hls/transcode-plan.js'
import { createSqliteCommit } from '../../src/views/sqlite-commit.js'

// A program: does each kind of work without a file descriptor left, and again with some. Prints one line of JSON.

const [searchPath, database, film, target] = process.argv.slice(2) as [string, string, string, string]
const hasher = createPasswordHasher(4, { workers: startHashWorkers({ limitMs: 2000 }) })
const prober = createProber()
const commits = createSqliteCommit(database, () => {})
const ffmpeg = new Ffmpeg(searchPath)
const order = {
  path: film,
  target,
  maxBytes: 1e9,
  maxSegments: 100,
  contentKey: Buffer.alloc(16),
  durationMs: null
}

const WORK: Record<string, () => Promise<unknown>> = {
  hash: () => hasher.hash('a password', '192.0.2.1'),
  commit: () => commits.commit([]),
  probe: () => prober.probe(film, 'an account'),
  async version () {
    if ((await ffmpeg.version()) === undefined) throw new Error('not installed')
  },
  picture: async () => await ffmpeg.takePicture(film, 0).toArray(),
  transcode: async () => await ffmpeg.transcode(film, encodeAll('video'), 10_000).toArray(),
  package: () => packageFile(order, new AbortController().signal, () => {})
}

/** The outcome of each kind of work: `done`, or the code of its error. */
async function outcomes (): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const [kind, work] of Object.entries(WORK)) {
    found[kind] = await work().then(
      () => 'done',
      (error: Error & { code?: string }) => `failed: ${error.code ?? error.message}`
    )
  }
  return found
}

function takeAllDescriptors (): number[] {
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    return taken
  }
}

// The first stream to be written takes a descriptor.
process.stdout.write('\n')
const taken = takeAllDescriptors()
const without = await outcomes()
for (const descriptor of taken) closeSync(descriptor)
const after = await outcomes()
process.stdout.write(JSON.stringify({ without, after }))
await Promise.all([hasher.close(), commits.close()])
prober.close()
