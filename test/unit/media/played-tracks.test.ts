import { join } from 'node:path'
import t from 'tap'
import { describe } from '../../../src/media/probe/describe-file.js'
import { joinedTs, make, noFfmpeg, packageWhole, picture, temporaryFolder, tone } from '../../support/ffmpeg.js'
import { sizeOf } from '../../support/media-facts.js'

const SMALL = [...picture(1, '64x36')]
const LARGE = [...picture(1, '128x72')]
const BOTH = ['-map', '0:v', '-map', '1:v', '-map', '2:a', '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-c:a', 'aac']
const dispositions = (first: string, second: string) => ['-disposition:v:0', first, '-disposition:v:1', second]

t.test('the description and the stream are of the same track', { skip: noFfmpeg }, async (t) => {
  const folder = await temporaryFolder(t)
  for (const [name, first, second] of [
    ['first.mkv', 'default', '0'],
    ['second.mkv', '0', 'default'],
    ['both.mkv', 'default', 'default'],
    ['second.mp4', '0', 'default']
  ] as const) {
    const path = await make(join(folder, name), ...SMALL, ...LARGE, ...tone(1), ...BOTH, ...dispositions(first, second))
    const size = name.startsWith('second') ? [128, 72] : [64, 36]
    const described = await describe(path)
    if (described === null || 'refused' in described) return t.fail(`${name} is refused`)
    t.same([described.width, described.height], size, `${name}: the description`)
    t.same(await sizeOf(await joinedTs(folder, await packageWhole(path))), size, `${name}: the stream`)
  }
})
