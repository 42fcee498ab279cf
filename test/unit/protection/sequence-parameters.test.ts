import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { readPictureSize } from '../../../src/protection/hls/sequence-parameters.js'
import { sequenceParameters } from '../../../src/protection/hls/stream-description.js'
import { make, noFfmpeg, temporaryFolder } from '../../support/ffmpeg.js'
import { probeStreams } from '../../support/media-facts.js'

/** Arguments of x264 by what is unusual about the pictures. */
const KINDS: Record<string, string[]> = {
  'no cropping': ['128x64'],
  'cropped lines': ['1920x1080', '-frames:v', '1'],
  'an odd number of macroblocks': ['130x74'],
  'no subsampling, odd sides': ['127x71', '-pix_fmt', 'yuv444p'],
  'subsampled in one direction': ['130x71', '-pix_fmt', 'yuv422p'],
  'ten bits': ['130x74', '-pix_fmt', 'yuv420p10le'],
  grey: ['130x74', '-pix_fmt', 'gray'],
  'baseline profile': ['130x74', '-profile:v', 'baseline'],
  'interlaced fields': ['130x76', '-flags', '+ildct+ilme'],
  'scaling lists': ['130x74', '-x264-params', 'cqm=jvt'],
  'samples of 4/3': ['160x90', '-vf', 'setsar=4/3'],
  'samples of 3/4, which no table has': ['160x90', '-vf', 'setsar=3/4'],
  'samples of 64/45': ['720x576', '-vf', 'setsar=64/45']
}

t.test('the size of H.264 pictures is read as ffprobe reads it', { skip: noFfmpeg }, async (t) => {
  const folder = await temporaryFolder(t)
  for (const [kind, [size, ...args]] of Object.entries(KINDS)) {
    const source = ['-f', 'lavfi', '-i', `testsrc=size=${size}:rate=5:duration=0.4`]
    const encoder = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p']
    const path = await make(join(folder, 'pictures.h264'), ...source, ...encoder, ...args)
    const unit = sequenceParameters(await readFile(path))!
    const [{ width, height, sample_aspect_ratio: ratio = '1:1' } = {}] = await probeStreams(path)
    const [x, y] = ratio === 'N/A' ? [1, 1] : (ratio.split(':').map(Number) as [number, number])
    t.same(readPictureSize(unit), { width, height, pixelAspect: x / y }, kind)
    for (let length = 0; length < unit.length; length++) {
      const part = readPictureSize(unit.subarray(0, length))
      t.ok(part === undefined || part.width === width, `${kind}: the first ${length} bytes`)
    }
  }
})

t.test('sequence parameters of any bytes have a size that H.264 allows, or none', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const size = readPictureSize(Buffer.of(0x67, ...bytes))
      if (size === undefined) return true
      const sides = [size.width, size.height]
      return sides.every((side) => side > 0 && side <= 16_384) && size.pixelAspect > 0
    })
  )
})
