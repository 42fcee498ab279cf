import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { wavHead } from '../../bench/stage.js'

const MiB = 1024 * 1024

t.test('a large WAV is described without its sound being read (bug: all of it was looked through, at 5 s of CPU a GB, and what took 20 s was refused)', async (t) => {
  let bytes = 0
  const { readSync } = fs
  fs.readSync = ((...args: Parameters<typeof readSync>) => {
    const read = readSync(...args)
    bytes += read
    return read
  }) as typeof readSync
  syncBuiltinESMExports()
  t.teardown(() => {
    fs.readSync = readSync
    syncBuiltinESMExports()
  })
  const { describe } = await import('../../src/media/describe-file.js')
  const path = join(t.testdir(), 'large.wav')
  const sound = 1024 * MiB
  fs.writeFileSync(path, wavHead(sound))
  fs.truncateSync(path, 44 + sound)
  t.match(await describe(path), { type: 'audio', contentType: 'audio/wav', durationMs: Math.round(sound / 176_400 * 1000), codecs: ['pcm'] })
  t.ok(bytes < 16 * MiB, `${bytes} bytes were read`)
})
