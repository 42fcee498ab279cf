import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { buildTestApp } from '../../support/test-app.js'
import { fixtures } from '../../support/fixtures.js'

const KINDS = ['hash', 'commit', 'probe', 'version', 'picture', 'transcode', 'package']

t.test('without a free file descriptor, workers fail, and later they work (bug: the server ended)', async (t) => {
  const { folder } = await buildTestApp(t)
  const fake = '#!/bin/sh\necho "ffmpeg version fake"\n'
  await writeFile(join(folder, 'ffmpeg'), fake, { mode: 0o755 })
  const program = resolve('dist/test/support/out-of-descriptors.js')
  const database = join(folder, 'data', 'playgate.db')
  const args = [`${folder}:/usr/bin:/bin`, database, join(fixtures, 'tiny.mp4'), join(folder, 'package')]
  const { stdout } = await promisify(execFile)('sh', [
    '-c',
    'ulimit -n 1024; exec "$@"',
    'sh',
    process.execPath,
    program,
    ...args
  ])
  const { without, after } = JSON.parse(stdout) as Record<'without' | 'after', Record<string, string>>
  for (const kind of KINDS) {
    t.match(without[kind], /^failed: /, kind)
    t.equal(after[kind], 'done', kind)
  }
  t.equal(without.version, 'failed: EMFILE', 'bug: ffmpeg counted as not installed until a restart')
  t.comment(JSON.stringify(without))
})
