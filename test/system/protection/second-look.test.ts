import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { fakeFfmpeg } from '../../support/fake-ffmpeg.js'
import { decodingErrors, h264, make, noFfmpeg, picture, temporaryFolder, tone } from '../../support/ffmpeg.js'
import { startPackageServer } from '../../support/package-server.js'
import { fixture } from '../../support/fixtures.js'

const { stdout: real } = noFfmpeg ? { stdout: '' } : await promisify(execFile)('/bin/sh', ['-c', 'command -v ffmpeg'])
const failOn = (text: string) => `case "$*" in *"${text}"*) exit 1;; esac; exec ${real.trim()} "$@"`

t.test('a plan of ffmpeg that fails is followed by one that encodes everything', { skip: noFfmpeg }, async (t) => {
  const folder = await temporaryFolder(t)
  const path = await make(join(folder, 'vorbis.mkv'), ...picture(2), ...tone(2), ...h264, '-c:a', 'libvorbis')
  const file = await readFile(path)
  const log = join(folder, 'calls')
  for (const [script, calls] of [
    ['', ['-c:v copy']],
    [failOn('-c:v copy'), ['-c:v copy', '-c:v libx264']]
  ] as const) {
    const search = await fakeFfmpeg(t, `echo "$*" >> ${log}; ${script || `exec ${real.trim()} "$@"`}`)
    const made = await (await startPackageServer(t, search)).stream(file, 'video')
    const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line.includes('matroska pipe:1'))
    t.same(lines.map((line) => /-c:v \w+/.exec(line)?.[0]), calls)
    if (!('path' in made)) return t.fail(made.code)
    t.equal(await decodingErrors(made.path), '')
    await rm(log)
  }
})

t.test('what is too much for ffmpeg is not tried again', { skip: noFfmpeg }, async (t) => {
  const folder = await temporaryFolder(t)
  const path = await make(join(folder, 'vorbis.mkv'), ...picture(1), ...tone(1), ...h264, '-c:a', 'libvorbis')
  const log = join(folder, 'calls')
  const search = await fakeFfmpeg(t, `echo "$*" >> ${log}; kill -KILL $$`)
  t.equal((await (await startPackageServer(t, search)).stream(await readFile(path), 'video')).code, 'source_too_large')
  const calls = (await readFile(log, 'utf8')).split('\n').filter((line) => line.includes('matroska pipe:1'))
  t.equal(calls.length, 1)
})

t.test('a failure has a true code, with ffmpeg and without', { skip: noFfmpeg, timeout: 100_000 }, async (t) => {
  const film = await fixture('cases/rec_h264_aac.mkv')
  const audioOnly = await fixture('cases/pce.aac')
  const told = async (message: string, file = film) => {
    const search = await fakeFfmpeg(t, `echo "${message}" >&2; exit 1`)
    return (await (await startPackageServer(t, search)).stream(file, file === audioOnly ? 'audio' : 'video')).code
  }
  t.equal(await told('Decoder (codec none) not found for input stream #0:0', audioOnly), 'source_codec_unsupported')
  t.equal(await told("Stream map '0:a:0' matches no streams.", audioOnly), 'source_has_no_media')
  t.equal(await told('malloc failed: Cannot allocate memory', audioOnly), 'source_too_large')
  t.equal(await told('Invalid data found when processing input', audioOnly), 'source_damaged')
  t.equal(await told('a file that needs no ffmpeg'), 'ready')
  const without = await startPackageServer(t, false)
  t.equal((await without.stream(audioOnly, 'audio')).code, 'source_codec_unsupported', 'bug: it was called damaged')
})
