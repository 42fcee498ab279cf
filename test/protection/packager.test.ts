import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { packageFile } from '../../src/protection/packager.js'
import { fixtures } from '../helper.js'
import { damaged, decodingErrors, durationOf, h264, joinedTs, looksLikeTs, make, noFfmpeg, packageWhole, picture, span, temporaryFolder, tone } from './ffmpeg.js'

const LONG = Boolean(process.env.TEST_LONG)

/** Packages a file, and holds what comes out against what went in: whole, decodable, as long, and in step. */
async function check (t: Test, path: string): Promise<void> {
  const packaged = await packageWhole(path, Math.round(await durationOf(path) * 1000))
  t.ok(packaged.facts.length > 0)
  for (const [number, segment] of packaged.sealed.entries()) {
    if (looksLikeTs(segment)) t.fail(`segment ${number} is no ciphertext`)
    if (segment.length % 16 !== 0) t.fail(`segment ${number} is no whole number of AES blocks`)
    if (packaged.facts[number]![1] <= 0) t.fail(`segment ${number} lasts ${packaged.facts[number]![1]} ms`)
  }
  const joined = await joinedTs(await temporaryFolder(t), packaged)
  t.equal(await decodingErrors(joined), '', 'ffmpeg decodes it without an error')
  const [wanted, said] = [await durationOf(path), packaged.facts.reduce((sum, [, milliseconds]) => sum + milliseconds, 0) / 1000]
  t.ok(Math.abs(wanted - said) <= 0.2, `lasts ${said} s of ${wanted} s`)
  const [before, after] = [{ v: await span(path, 'v'), a: await span(path, 'a') }, { v: await span(joined, 'v'), a: await span(joined, 'a') }]
  for (const kind of ['v', 'a'] as const) {
    t.equal(after[kind] === undefined, before[kind] === undefined, `has ${kind} as the source has`)
    if (before[kind] === undefined || after[kind] === undefined) continue
    t.equal(after[kind].packets, before[kind].packets, `no packet of ${kind} is lost`)
    const [length, wantedLength] = [after[kind], before[kind]].map(({ first, last }) => last - first) as [number, number]
    t.ok(Math.abs(length - wantedLength) <= 0.2, `${kind} spans ${length} s of ${wantedLength} s`)
  }
  if (before.v === undefined || before.a === undefined || after.v === undefined || after.a === undefined) return
  for (const end of ['first', 'last'] as const) {
    const drift = (after.v[end] - after.a[end]) - (before.v[end] - before.a[end])
    t.ok(Math.abs(drift) <= 0.2, `audio and video are in step at the ${end} packet: ${drift.toFixed(3)} s`)
  }
}

/** It must end: packaged, or failed by an error. Answers which. */
async function ends (t: Test, path: string, withinMs = 20_000): Promise<'packaged' | 'failed'> {
  const start = performance.now()
  const how = await packageWhole(path, 2000).then(() => 'packaged' as const, () => 'failed' as const)
  t.ok(performance.now() - start < withinMs, `${how} after ${Math.round(performance.now() - start)} ms`)
  return how
}

t.test('the packager', { skip: noFfmpeg, timeout: LONG ? 900_000 : 240_000 }, async (t) => {
  for (const name of ['tiny.mp4', 'tiny.mov', 'tiny.m4v', 'tiny.mkv', 'tiny.mp3', 'tiny.m4a', 'tiny.aac']) {
    await t.test(`packages ${name} whole, decodable, as long, and in step`, (t) => check(t, join(fixtures, name)))
  }

  const folder = await temporaryFolder(t)
  const odd: Record<string, [name: string, ...args: string[]]> = {
    'B-frames': ['b.mp4', ...picture(13), ...tone(13), ...h264, '-preset', 'medium', '-bf', '3', '-g', '50'],
    'B-frames in Matroska': ['b.mkv', ...picture(13), ...tone(13), ...h264, '-preset', 'medium', '-bf', '3', '-g', '50'],
    'B-frames without an edit list': ['noedit.mp4', ...picture(8), ...tone(8), ...h264, '-preset', 'medium', '-bf', '3', '-use_editlist', '0'],
    'negative composition offsets': ['cts.mp4', ...picture(8), ...tone(8), ...h264, '-preset', 'medium', '-bf', '3', '-movflags', 'negative_cts_offsets'],
    'a fragmented MP4': ['frag.mp4', ...picture(8), ...tone(8), ...h264, '-movflags', 'frag_keyframe+empty_moov'],
    'an odd size': ['odd.mp4', ...picture(7, '130x74'), ...tone(7), ...h264],
    'a size only 4:4:4 can have': ['odder.mp4', ...picture(7, '127x71'), ...tone(7), ...h264, '-pix_fmt', 'yuv444p'],
    'a variable frame rate': ['vfr.mp4', ...picture(20), ...tone(20), '-vf', "select='not(mod(n,7))+not(mod(n,11))+lt(t,3)'", '-vsync', 'vfr', ...h264],
    'pictures of one second in fifteen': ['slow.mp4', ...picture(30, '128x72', 1), ...tone(30), '-vf', "select='not(mod(n,15))'", '-vsync', 'vfr', ...h264, '-g', '1'],
    'key frames 20 s apart': ['gop.mp4', ...picture(65), ...tone(65), ...h264, '-g', '500', '-keyint_min', '500', '-sc_threshold', '0'],
    'mono AAC of 8 kHz': ['mono.m4a', ...tone(20, 8000), '-ac', '1', '-c:a', 'aac', '-b:a', '12k'],
    'pictures with mono AAC of 8 kHz': ['mono.mp4', ...picture(20), ...tone(20, 8000), ...h264, '-ac', '1', '-b:a', '12k'],
    'sound that begins two seconds late': ['late.mp4', ...picture(14), '-itsoffset', '2', ...tone(12), ...h264],
    'pictures that begin two seconds late': ['late-v.mkv', '-itsoffset', '2', ...picture(12), ...tone(14), ...h264],
    'sound much shorter than the pictures': ['short-a.mp4', ...picture(20), ...tone(3), ...h264],
    'pictures much shorter than the sound': ['short-v.mp4', ...picture(3), ...tone(20), ...h264],
    'no sound': ['mute.mp4', ...picture(13), ...h264],
    '5.1 sound': ['six.mp4', ...picture(7), ...tone(7), ...h264, '-ac', '6'],
    'MP3 sound': ['mp3.mp4', ...picture(7), ...tone(7), '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'libmp3lame'],
    'MP3 of a low rate (MPEG-2)': ['low.mp3', ...tone(14, 16_000), '-ac', '1', '-c:a', 'libmp3lame', '-b:a', '16k']
  }
  for (const [what, [name, ...args]] of Object.entries(odd)) {
    await t.test(`packages ${what}`, async (t) => check(t, await make(join(folder, name), ...args)))
  }

  // Bug: a segment that held sound alone gave it the id of the pictures, and ffmpeg took it for H.264; odd above has several of these.
  const hours = LONG ? 10 : 1
  if (LONG) {
    await t.test(`packages ${hours} h of silence`, { timeout: 600_000 }, async (t) => {
      const silence = (seconds: number) => ['-f', 'lavfi', '-i', 'anullsrc=r=8000:cl=mono', '-t', String(seconds), '-c:a', 'aac', '-b:a', '8k']
      await check(t, await make(join(folder, 'silence.m4a'), ...silence(hours * 3600)))
    })
  }

  // Half a minute and more each, until the packager is found to be stuck.
  if (LONG) {
    await t.test('ends on files that are damaged, cut short or empty', async (t) => {
      const whole = await make(join(folder, 'whole.mp4'), ...picture(13), ...tone(13), ...h264)
      const middle = (kind: string) => (content: Buffer) => {
        const box = content.indexOf(kind, 0, 'latin1')
        return box + Math.floor(content.readUInt32BE(box - 4) / 2)
      }
      for (let round = 0; round < 5; round++) {
        await ends(t, await damaged(whole, join(folder, 'mdat.mp4'), middle('mdat'), 4000))
        await ends(t, await damaged(whole, join(folder, 'moov.mp4'), middle('moov'), 600))
        await ends(t, await damaged(whole, join(folder, 'stts.mp4'), (content) => content.indexOf('stts', 0, 'latin1') + 4, 24))
        await ends(t, await damaged(whole, join(folder, 'avcc.mp4'), (content) => content.indexOf('avcC', 0, 'latin1') + 4, 12))
        await ends(t, await damaged(join(fixtures, 'tiny.mkv'), join(folder, 'damaged.mkv'), (content) => content.length >> 1, 2000))
      }
      for (const name of ['cut.mp4', 'empty.mp4', 'notracks.mp4', 'text.mp4', 'bad.pdf']) t.equal(await ends(t, join(fixtures, name)), 'failed', name)
      t.equal(await ends(t, join(folder, 'is-not-there.mp4')), 'failed')
      await writeFile(join(folder, 'tail.aac'), Buffer.concat([Buffer.alloc(100_000), Buffer.from('fff15080', 'hex')]))
      await ends(t, join(folder, 'tail.aac'))
    })
  }
})

// Bug: mediabunny does not wait for `onSegment`, so that all segments piled up while the disk was slow.
t.test('the packager waits while nobody takes its segments', { skip: noFfmpeg }, async (t) => {
  const path = await make(join(await temporaryFolder(t), 'minute.mp4'), ...picture(60), ...tone(60), ...h264, '-g', '25')
  let percent = 0
  const { bytes } = packageFile({ path, contentKey: Buffer.alloc(16), durationMs: 60_000 }, (now) => { percent = now })
  await new Promise((resolve) => setTimeout(resolve, 2000))
  t.ok(percent < 50, `it stands at ${percent} %`)
  bytes.destroy()
  await new Promise((resolve) => bytes.once('close', resolve))
})

t.test('destroying the bytes ends the thread, whether any was read or not', async (t) => {
  const workers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'MessagePort' || kind === 'Worker').length
  const before = workers()
  for (const readFirst of [true, false]) {
    const { bytes, segments } = packageFile({ path: join(fixtures, 'tiny.mp4'), contentKey: Buffer.alloc(16), durationMs: 2000 }, () => {})
    if (readFirst) await new Promise((resolve) => bytes.once('readable', resolve))
    t.ok(workers() > before, 'the thread runs')
    bytes.destroy()
    await new Promise((resolve) => bytes.once('close', resolve))
    await t.rejects(segments, /cancelled/)
    t.equal(workers(), before, 'the thread is gone')
  }
})
