import { execFile } from 'node:child_process'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Ffmpeg } from '../../../src/protection/hls/ffmpeg.js'
import { withEdits, type WantedEdit } from '../../support/edit-lists.js'
import { make, noFfmpeg, temporaryFolder } from '../../support/ffmpeg.js'
import { startPackageServer, type PackageServer } from '../../support/package-server.js'

const run = promisify(execFile)
const RATE = 25
const SECONDS = 4
const SIDE = 64
/** Each picture is grey all over: this much lighter than the one before. */
const STEP = 2
const BLACK = 16
/** A frame of sound, and the padding of an encoder. */
const SOUND_SECONDS = 0.1
/** Two pictures and more. */
const MIN_CUT_MS = 100
/** A JPEG of a grey picture differs from it by less; pictures differ by 2. */
const JPEG_DIFFERENCE = 1
const LONG = Boolean(process.env.TEST_LONG)

/** Cuts on and off the key frames, which are at whole seconds, and on and off pictures, at 40 ms. */
const CUTS: [number, number][] = [
  [0, 4],
  [0, 2],
  [0, 1.96],
  [0, 2.02],
  [0, 0.2],
  [1, 4],
  [1, 3],
  [1, 2.52],
  [2, 2.04],
  [3, 4],
  [0.04, 4],
  [0.5, 4],
  [0.96, 3],
  [1.04, 3.04],
  [1.02, 3],
  [2.48, 3.48],
  [2.2, 2.6],
  [3.8, 4],
  [1.001, 4]
]
const EDITS: WantedEdit[][] = [
  ...CUTS.map(([from, to]) => [{ from, to }]),
  [{ empty: 0.5 }, { from: 0, to: 4 }],
  [{ empty: 1 }, { from: 1, to: 3 }],
  [{ empty: 0.24 }, { from: 1.4, to: 3 }],
  [
    { from: 0, to: 1 },
    { from: 2, to: 3 }
  ],
  [
    { from: 0.52, to: 1.2 },
    { from: 2.8, to: 3.6 }
  ],
  [
    { from: 2, to: 3 },
    { from: 0, to: 1 }
  ]
]

/** Edits of random cuts: every third time an empty edit and one, two edits, or one. The seed makes them repeatable. */
function randomEdits (count: number, seed: number): WantedEdit[][] {
  let state = seed
  // Park and Miller's generator.
  const random = (below: number) => (state = (state * 16_807) % 2_147_483_647) % below
  const cut = () => {
    const [one, other] = [random(1000 * SECONDS), random(1000 * SECONDS)]
    const from = Math.min(one, other, 1000 * SECONDS - MIN_CUT_MS)
    return { from: from / 1000, to: Math.max(one, other, from + MIN_CUT_MS) / 1000 }
  }
  return Array.from({ length: count }, (_, index) => {
    if (index % 3 === 0) return [{ empty: (1 + random(1000)) / 1000 }, cut()]
    return index % 3 === 1 ? [cut(), cut()] : [cut()]
  })
}

/** All of a hundred edits, half of them with B-frames, or a few. */
const CHECKED = LONG ? [...EDITS, ...randomEdits(25, 19)] : EDITS.filter((_, index) => index % 4 === 1)

/** The numbers of the pictures that ffmpeg shows. */
async function picturesOf (path: string): Promise<number[]> {
  return (await greysOf(path)).map((grey) => Math.round((grey - BLACK) / STEP))
}

async function greysOf (path: string): Promise<number[]> {
  const output = ['-map', '0:v:0', '-fps_mode', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-']
  const options = { encoding: 'buffer' as const, maxBuffer: 64 * 1024 * 1024 }
  const { stdout } = await run('ffmpeg', ['-nostdin', '-v', 'error', '-i', path, ...output], options)
  const pictureBytes = (SIDE * SIDE * 3) / 2
  const greys: number[] = []
  for (let at = 0; at < stdout.length; at += pictureBytes) {
    greys.push(stdout.subarray(at, at + SIDE * SIDE).reduce((sum, luma) => sum + luma, 0) / SIDE ** 2)
  }
  return greys
}

/** Grey pictures that count, and a loud tone before 1.9 s and silence after. A key frame each second. */
async function makeCounted (folder: string, bFrames: number): Promise<Buffer> {
  const grey = `nullsrc=size=${SIDE}x${SIDE}:rate=${RATE}:duration=${SECONDS},geq=lum=${BLACK}+${STEP}*N:cb=128:cr=128`
  const tone = `aevalsrc=if(lt(t\\,1.9)\\,sin(2764*t)\\,0):d=${SECONDS}`
  const video = ['-c:v', 'libx264', '-g', String(RATE), '-bf', String(bFrames), '-sc_threshold', '0', '-crf', '8']
  const inputs = ['-f', 'lavfi', '-i', grey, '-f', 'lavfi', '-i', tone]
  const path = join(folder, `counted-${bFrames}.mp4`)
  return await readFile(await make(path, ...inputs, ...video, '-pix_fmt', 'yuv420p', '-c:a', 'aac'))
}

const isShown = (number: number, edits: WantedEdit[]) =>
  edits.some((edit) => 'from' in edit && number / RATE >= edit.from - 1e-9 && number / RATE < edit.to - 1e-9)

const lengthOf = (edits: WantedEdit[]) =>
  edits.reduce((sum, edit) => sum + ('from' in edit ? edit.to - edit.from : 0), 0)

/** With ffmpeg every edit is packaged; without it, an edit is cut out exactly, or it fails. */
async function check (t: Test, server: PackageServer, file: Buffer, source: string, edits: WantedEdit[]) {
  const made = await server.stream(file, 'video')
  if (!('path' in made)) return made.code
  const [shown, streamed] = await Promise.all([source, made.path].map(picturesOf))
  t.same(streamed!.filter((number) => !isShown(number, edits)), [], 'no picture from outside the edit')
  t.same(streamed, shown, 'the pictures that ffmpeg shows')
  const length = lengthOf(edits)
  t.ok(Math.abs(made.seconds - length) <= SOUND_SECONDS, `lasts ${made.seconds} s of ${length} s`)
  return made.code
}

/** Posters at the start and at the usual tenth of the length. */
async function checkPoster (t: Test, source: string, edits: WantedEdit[]) {
  const shown = (await picturesOf(source)).map((number) => BLACK + STEP * number)
  const length = edits.reduce((sum, edit) => sum + ('from' in edit ? edit.to - edit.from : edit.empty), 0)
  const path = join(dirname(source), 'poster.jpg')
  for (const share of [0, 0.1]) {
    await writeFile(path, new Ffmpeg(process.env.PATH!).takePicture(source, share * length))
    // Of an edit of one picture, none is later than the start.
    if (share > 0 && (await stat(path)).size === 0) continue
    const [grey = NaN] = await greysOf(path)
    const difference = Math.min(...shown.map((each) => Math.abs(each - grey)))
    t.ok(difference <= JPEG_DIFFERENCE, `the poster at ${share} of the length is a picture of the edit`)
  }
}

for (const bFrames of [0, 2]) {
  const name = `no picture outside an edit is in a stream, with ${bFrames} B-frames (bug: all of the file was)`
  t.test(name, { skip: noFfmpeg, timeout: LONG ? 1_800_000 : 280_000 }, async (t) => {
    const folder = await temporaryFolder(t)
    const counted = await makeCounted(folder, bFrames)
    const [withFfmpeg, without] = [await startPackageServer(t, true), await startPackageServer(t, false)]
    const codes: string[] = []
    for (const edits of CHECKED) {
      await t.test(JSON.stringify(edits), async (t) => {
        const file = withEdits(counted, edits)
        const source = join(folder, 'source.mp4')
        await writeFile(source, file)
        t.equal(await check(t, withFfmpeg, file, source, edits), 'ready')
        await checkPoster(t, source, edits)
        const code = await check(t, without, file, source, edits)
        t.ok(code === 'ready' || code === 'source_edited', code)
        codes.push(code)
      })
    }
    t.ok(codes.filter((code) => code === 'ready').length >= 2, `some need no ffmpeg: ${codes.join()}`)
    t.ok(codes.includes('source_edited'), 'others do')
  })
}

t.test('no sound outside an edit is in a stream', { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
  const folder = await temporaryFolder(t)
  const file = withEdits(await makeCounted(folder, 0), [{ from: 2, to: 4 }])
  for (const hasFfmpeg of [true, false]) {
    const made = await (await startPackageServer(t, hasFfmpeg)).stream(file, 'video')
    if (!('path' in made)) return t.fail(made.code)
    const { stderr } = await run('ffmpeg', ['-nostdin', '-i', made.path, '-af', 'volumedetect', '-f', 'null', '-'])
    const loudest = Number(/max_volume: (-?[\d.]+) dB/.exec(stderr)?.[1])
    t.ok(loudest < -60, `the loudest sound is of ${loudest} dB`)
  }
})
