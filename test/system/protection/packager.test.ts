import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FileFault } from '../../../src/protection/hls/file-fault.js'
import { packageFile } from '../../../src/protection/hls/packager.js'
import { fixtures } from '../../support/fixtures.js'
import {
  damaged,
  decodingErrors,
  durationOf,
  h264,
  joinedTs,
  looksLikeTs,
  make,
  noFfmpeg,
  packageWhole,
  picture,
  span,
  temporaryFolder,
  tone
} from '../../support/ffmpeg.js'

const LONG = Boolean(process.env.TEST_LONG)

/** Packages a file, and holds what comes out against what went in: whole, decodable, as long, and in step. */
async function check (t: Test, path: string): Promise<void> {
  const packaged = await packageWhole(path, Math.round((await durationOf(path)) * 1000))
  t.ok(packaged.facts.length > 0)
  for (const [number, segment] of packaged.sealed.entries()) {
    if (looksLikeTs(segment)) t.fail(`segment ${number} is no ciphertext`)
    if (segment.length % 16 !== 0) t.fail(`segment ${number} is no whole number of AES blocks`)
    if (packaged.facts[number]![1] <= 0) t.fail(`segment ${number} lasts ${packaged.facts[number]![1]} ms`)
  }
  const joined = await joinedTs(await temporaryFolder(t), packaged)
  t.equal(await decodingErrors(joined), '', 'ffmpeg decodes it without an error')
  const [wanted, said] = [
    await durationOf(path),
    packaged.facts.reduce((sum, [, milliseconds]) => sum + milliseconds, 0) / 1000
  ]
  t.ok(Math.abs(wanted - said) <= 0.2, `lasts ${said} s of ${wanted} s`)
  const [before, after] = [
    { v: await span(path, 'v'), a: await span(path, 'a') },
    { v: await span(joined, 'v'), a: await span(joined, 'a') }
  ]
  for (const kind of ['v', 'a'] as const) {
    t.equal(after[kind] === undefined, before[kind] === undefined, `has ${kind} as the source has`)
    if (before[kind] === undefined || after[kind] === undefined) continue
    t.equal(after[kind].packets, before[kind].packets, `no packet of ${kind} is lost`)
    const [length, wantedLength] = [after[kind], before[kind]].map(({ first, last }) => last - first) as [
      number,
      number
    ]
    t.ok(Math.abs(length - wantedLength) <= 0.2, `${kind} spans ${length} s of ${wantedLength} s`)
  }
  if (before.v === undefined || before.a === undefined || after.v === undefined || after.a === undefined) return
  for (const end of ['first', 'last'] as const) {
    const drift = after.v[end] - after.a[end] - (before.v[end] - before.a[end])
    t.ok(Math.abs(drift) <= 0.2, `audio and video are in step at the ${end} packet: ${drift.toFixed(3)} s`)
  }
}

/** It must end soon: packaged as a whole, or failed by an error that says it is the file's fault. */
async function ends (t: Test, what: string, path: string, durationMs: number): Promise<void> {
  const start = performance.now()
  const fault = await packageWhole(path, durationMs).then(
    ({ facts }) => {
      const length = facts.reduce((sum, [, milliseconds]) => sum + milliseconds, 0)
      t.ok(facts.length === 0 || length > 0.8 * durationMs, `${what}: packaged as ${length} ms of ${durationMs}`)
    },
    (error: FileFault) => error
  )
  if (fault !== undefined) t.ok(fault instanceof FileFault, `${what}: ${fault.message}`)
  t.ok(performance.now() - start < 30_000, `${what}: ended after ${Math.round(performance.now() - start)} ms`)
}

t.test('the packager', { skip: noFfmpeg, timeout: LONG ? 1_800_000 : 290_000 }, async (t) => {
  for (const name of ['tiny.mp4', 'tiny.mov', 'tiny.m4v', 'tiny.mkv', 'tiny.mp3', 'tiny.m4a', 'tiny.aac']) {
    await t.test(`packages ${name} whole, decodable, as long, and in step`, (t) => check(t, join(fixtures, name)))
  }

  const folder = await temporaryFolder(t)
  const odd: Record<string, [name: string, ...args: string[]]> = {
    'B-frames': ['b.mp4', ...picture(13), ...tone(13), ...h264, '-preset', 'medium', '-bf', '3', '-g', '50'],
    'B-frames in Matroska': [
      'b.mkv',
      ...picture(13),
      ...tone(13),
      ...h264,
      '-preset',
      'medium',
      '-bf',
      '3',
      '-g',
      '50'
    ],
    'B-frames without an edit list': [
      'noedit.mp4',
      ...picture(8),
      ...tone(8),
      ...h264,
      '-preset',
      'medium',
      '-bf',
      '3',
      '-use_editlist',
      '0'
    ],
    'negative composition offsets': [
      'cts.mp4',
      ...picture(8),
      ...tone(8),
      ...h264,
      '-preset',
      'medium',
      '-bf',
      '3',
      '-movflags',
      'negative_cts_offsets'
    ],
    'a fragmented MP4': ['frag.mp4', ...picture(8), ...tone(8), ...h264, '-movflags', 'frag_keyframe+empty_moov'],
    'an odd size': ['odd.mp4', ...picture(7, '130x74'), ...tone(7), ...h264],
    'a size only 4:4:4 can have': ['odder.mp4', ...picture(7, '127x71'), ...tone(7), ...h264, '-pix_fmt', 'yuv444p'],
    'a variable frame rate': [
      'vfr.mp4',
      ...picture(20),
      ...tone(20),
      '-vf',
      "select='not(mod(n,7))+not(mod(n,11))+lt(t,3)'",
      '-vsync',
      'vfr',
      ...h264
    ],
    'pictures of one second in fifteen': [
      'slow.mp4',
      ...picture(30, '128x72', 1),
      ...tone(30),
      '-vf',
      "select='not(mod(n,15))'",
      '-vsync',
      'vfr',
      ...h264,
      '-g',
      '1'
    ],
    'key frames 20 s apart': [
      'gop.mp4',
      ...picture(65),
      ...tone(65),
      ...h264,
      '-g',
      '500',
      '-keyint_min',
      '500',
      '-sc_threshold',
      '0'
    ],
    'mono AAC of 8 kHz': ['mono.m4a', ...tone(20, 8000), '-ac', '1', '-c:a', 'aac', '-b:a', '12k'],
    'pictures with mono AAC of 8 kHz': [
      'mono.mp4',
      ...picture(20),
      ...tone(20, 8000),
      ...h264,
      '-ac',
      '1',
      '-b:a',
      '12k'
    ],
    'sound that begins two seconds late': ['late.mp4', ...picture(14), '-itsoffset', '2', ...tone(12), ...h264],
    'pictures that begin two seconds late': ['late-v.mkv', '-itsoffset', '2', ...picture(12), ...tone(14), ...h264],
    'sound much shorter than the pictures': ['short-a.mp4', ...picture(20), ...tone(3), ...h264],
    'pictures much shorter than the sound': ['short-v.mp4', ...picture(3), ...tone(20), ...h264],
    'no sound': ['mute.mp4', ...picture(13), ...h264],
    '5.1 sound': ['six.mp4', ...picture(7), ...tone(7), ...h264, '-ac', '6'],
    'MP3 sound': [
      'mp3.mp4',
      ...picture(7),
      ...tone(7),
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-pix_fmt',
      'yuv420p',
      '-c:a',
      'libmp3lame'
    ],
    'MP3 of a low rate (MPEG-2)': ['low.mp3', ...tone(14, 16_000), '-ac', '1', '-c:a', 'libmp3lame', '-b:a', '16k']
  }
  for (const [what, [name, ...args]] of Object.entries(odd)) {
    await t.test(`packages ${what}`, async (t) => check(t, await make(join(folder, name), ...args)))
  }

  await t.test('a key frame far away does not make a segment of the whole film', async (t) => {
    const path = await make(
      join(folder, 'one-key.mp4'),
      ...picture(150, '128x72', 10),
      ...tone(150),
      ...h264,
      '-g',
      '9999',
      '-keyint_min',
      '9999',
      '-sc_threshold',
      '0'
    )
    await check(t, path)
    t.same(
      (await packageWhole(path, 150_000)).facts.map(([, milliseconds, dependent]) => [
        Math.round(milliseconds / 1000),
        dependent
      ]),
      [
        [60, undefined],
        [60, 'dependent'],
        [30, 'dependent']
      ]
    )
  })

  await t.test('a minute of 720p takes less than ten seconds', async (t) => {
    const clip = await make(
      join(folder, '720p.mp4'),
      ...picture(6, '1280x720'),
      ...tone(6),
      ...h264,
      '-b:v',
      '3M',
      '-g',
      '50'
    )
    const minute = await make(join(folder, 'minute.mp4'), '-stream_loop', '9', '-i', clip, '-c', 'copy')
    const start = performance.now()
    await packageWhole(minute, 60_000)
    t.comment(`figure: a minute of 720p packaged in ${Math.round(performance.now() - start)} ms`)
    t.ok(performance.now() - start < 10_000)
  })

  // Minutes of CPU: mediabunny sums up the sizes of all samples of a chunk for each of them, and these chunks have
  // 130,000.
  if (LONG) {
    await t.test('packages 10 h of silence', { timeout: 600_000 }, async (t) => {
      const path = await make(
        join(folder, 'silence.m4a'),
        '-f',
        'lavfi',
        '-i',
        'anullsrc=r=8000:cl=mono',
        '-t',
        '36000',
        '-c:a',
        'aac',
        '-b:a',
        '8k'
      )
      const start = performance.now()
      const { facts } = await packageWhole(path, 36_000_000)
      t.comment(`figure: ten hours of silence packaged in ${Math.round((performance.now() - start) / 1000)} s`)
      t.ok(Math.abs(facts.reduce((sum, [, milliseconds]) => sum + milliseconds, 0) - 36_000_000) < 500)
    })
  }

  // Bug: what failed in the middle of a file was noticed a minute later, by the timer for threads that are stuck.
  await t.test(
    'ends soon on files that are damaged, cut short or empty, and never passes half a file off as all of it',
    async (t) => {
      const whole = await make(join(folder, 'whole.mp4'), ...picture(13), ...tone(13), ...h264)
      const matroska = await make(join(folder, 'whole.mkv'), ...picture(13), ...tone(13), ...h264)
      const middle = (kind: string) => (content: Buffer) => {
        const box = content.indexOf(kind, 0, 'latin1')
        return box + Math.floor(content.readUInt32BE(box - 4) / 2)
      }
      const start = (kind: string) => (content: Buffer) => content.indexOf(kind, 0, 'latin1') + 4
      const damages: Record<string, [from: string, at: (content: Buffer) => number, bytes: number]> = {
        mdat: [whole, middle('mdat'), 4000],
        stts: [whole, start('stts'), 24],
        stsz: [whole, start('stsz'), 60],
        stco: [whole, start('stco'), 60],
        elst: [whole, start('elst'), 24],
        avcC: [whole, start('avcC'), 12],
        esds: [whole, start('esds'), 30],
        tkhd: [whole, start('tkhd'), 60],
        'a cluster': [matroska, (content) => content.length >> 1, 2000],
        'the head of a Matroska file': [matroska, () => 200, 300]
      }
      for (const [what, [from, at, bytes]] of Object.entries(damages)) {
        for (let round = 0; round < (LONG ? 5 : 1); round++) {
          await ends(t, what, await damaged(from, join(folder, 'damaged'), at, bytes), 13_000)
        }
      }
      await writeFile(join(folder, 'half.mkv'), (await readFile(matroska)).subarray(0, 60_000))
      await t.rejects(packageWhole(join(folder, 'half.mkv'), 13_000), { kind: 'damaged' } as unknown as Error)
      for (const [name, kind] of [
        ['empty.mp4', 'damaged'],
        ['text.mp4', 'unsupported'],
        ['bad.pdf', 'unsupported'],
        ['tiny.avi', 'unsupported']
      ] as const) {
        await t.rejects(packageWhole(join(fixtures, name), 2000), { kind } as unknown as Error, name)
      }
      for (const name of ['cut.mp4', 'notracks.mp4']) {
        t.same((await packageWhole(join(fixtures, name), null)).facts, [], `${name} has no tracks`)
      }
      await t.rejects(packageWhole(join(folder, 'is-not-there.mp4')), /ENOENT/)
    }
  )
})

t.test('a signal ends packaging and its thread, at the start as in the middle', async (t) => {
  const folder = await temporaryFolder(t)
  const workers = () =>
    process.getActiveResourcesInfo().filter((kind) => kind === 'MessagePort' || kind === 'Worker').length
  const before = workers()
  for (const [index, signal] of [AbortSignal.abort(), AbortSignal.timeout(1), AbortSignal.timeout(60)].entries()) {
    const order = {
      path: join(fixtures, 'tiny.mp4'),
      target: join(folder, String(index)),
      maxBytes: 1e9,
      maxSegments: 1e6,
      contentKey: Buffer.alloc(16),
      durationMs: 2000
    }
    await packageFile(order, signal, () => {}).catch((error: Error) => t.match(error.message, /cancelled|aborted/))
    t.equal(workers(), before, 'the thread is gone')
  }
})

t.test('what grows beyond its bounds is given up', async (t) => {
  const order = {
    path: join(fixtures, 'tiny.mp4'),
    target: join(await temporaryFolder(t), 'package'),
    maxBytes: 1000,
    maxSegments: 1e6,
    contentKey: Buffer.alloc(16),
    durationMs: 2000
  }
  await t.rejects(
    packageFile(order, new AbortController().signal, () => {}),
    /more than 1000 bytes/
  )
  const tight = { ...order, target: `${order.target}-2`, maxBytes: 1e9, maxSegments: 0 }
  await t.rejects(
    packageFile(tight, new AbortController().signal, () => {}),
    { kind: 'inflated', message: /more than 0 segments/ },
    'bug: an index of megabytes came of a small file'
  )
})
