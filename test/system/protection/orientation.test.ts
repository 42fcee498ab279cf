import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Ffmpeg } from '../../../src/protection/hls/ffmpeg.js'
import { withMatrix, type Matrix } from '../../support/display-matrix.js'
import { make, noFfmpeg, temporaryFolder } from '../../support/ffmpeg.js'
import { startPackageServer } from '../../support/package-server.js'

const run = promisify(execFile)
/** The greatest difference of quarters that a second encoding makes; the quarters differ by 40 and more. */
const MAX_DIFFERENCE = 6

/** Turned clockwise by degrees, then mirrored. */
const MATRICES: Record<string, Matrix> = {
  'by 90°': [0, 1, -1, 0],
  'by 180°': [-1, 0, 0, -1],
  'by 270°': [0, -1, 1, 0],
  'left to right': [-1, 0, 0, 1],
  'upside down': [1, 0, 0, -1],
  'on one diagonal': [0, 1, 1, 0],
  'on the other diagonal': [0, -1, -1, 0]
}
const RATIOS = ['4/3', '3/4', '2/1', '1/2', '64/45']

/** Half a second of four quarters in greys of their own, and sound. */
async function makeQuarters (path: string, ...filters: string[]): Promise<Buffer> {
  const quarters = 'nullsrc=size=160x90:rate=25:duration=1,geq=lum=40+40*gt(X\\,79)+80*gt(Y\\,44):cb=128:cr=128'
  const inputs = ['-f', 'lavfi', '-i', [quarters, ...filters].join(','), '-f', 'lavfi', '-i', 'sine=duration=1']
  return await readFile(await make(path, ...inputs, '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-c:a', 'aac'))
}

/** Width, height and the grey of each quarter of the first picture, as a player shows it. */
async function look (path: string): Promise<{ size: string; quarters: number[] }> {
  const filter = 'scale=trunc(iw*max(sar\\,1)/2)*2:trunc(ih*max(1/sar\\,1)/2)*2,format=gray'
  const args = ['-nostdin', '-v', 'error', '-i', path, '-map', '0:v:0', '-vf', filter, '-frames:v', '1']
  const { stdout } = await run('ffmpeg', [...args, '-c:v', 'pgm', '-f', 'image2pipe', '-'], { encoding: 'buffer' })
  const [, size] = stdout.subarray(0, 20).toString('latin1').split('\n')
  const [width, height] = size!.split(' ').map(Number) as [number, number]
  const pixels = stdout.subarray(stdout.length - width * height)
  const grey = (x: number, y: number) => pixels[Math.floor(height * y) * width + Math.floor(width * x)]!
  return { size: size!, quarters: [grey(0.25, 0.25), grey(0.75, 0.25), grey(0.25, 0.75), grey(0.75, 0.75)] }
}

/** Takes the first picture as a poster. */
async function posterOf (source: string): Promise<string> {
  const path = `${source}.jpg`
  await writeFile(path, new Ffmpeg(process.env.PATH!).takePicture(source, 0))
  return path
}

async function compare (t: Test, source: string, stream: string): Promise<void> {
  const [wanted, made] = [await look(source), await look(stream)]
  t.equal(made.size, wanted.size, 'the displayed size')
  const differences = wanted.quarters.map((quarter, index) => Math.abs(quarter - made.quarters[index]!))
  t.ok(Math.max(...differences) <= MAX_DIFFERENCE, `${made.quarters.join()} for ${wanted.quarters.join()}`)
}

t.test('a stream and a poster show pictures as their file does', { skip: noFfmpeg, timeout: 200_000 }, async (t) => {
  const folder = await temporaryFolder(t)
  const upright = await makeQuarters(join(folder, 'upright.mp4'))
  const source = join(folder, 'source.mp4')
  const withFfmpeg = await startPackageServer(t, true)
  const without = await startPackageServer(t, false)
  for (const [name, matrix] of Object.entries(MATRICES)) {
    await t.test(`turned or mirrored ${name} (bug: they lay on their side)`, async (t) => {
      const file = withMatrix(upright, matrix)
      await writeFile(source, file)
      const made = await withFfmpeg.stream(file, 'video')
      if (!('path' in made)) return t.fail(made.code)
      await compare(t, source, made.path)
      await compare(t, source, await posterOf(source))
      t.equal((await without.stream(file, 'video')).code, 'source_turned')
    })
  }
  for (const ratio of RATIOS) {
    await t.test(`pixels of ${ratio} (bug: they were squeezed)`, async (t) => {
      const file = await makeQuarters(source, `setsar=${ratio}`)
      const made = await withFfmpeg.stream(file, 'video')
      if (!('path' in made)) return t.fail(made.code)
      await compare(t, source, made.path)
      await compare(t, source, await posterOf(source))
      t.equal((await without.stream(file, 'video')).code, 'source_stretched')
    })
  }
})
