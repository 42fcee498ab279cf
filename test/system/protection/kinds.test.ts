import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { decodingErrors, h264, make, noFfmpeg, picture, temporaryFolder, tone } from '../../support/ffmpeg.js'
import { withCompression, type Compression } from '../../support/matroska-compression.js'
import { probeStreams } from '../../support/media-facts.js'
import { startPackageServer } from '../../support/package-server.js'

/** A file of a kind that a media system may package wrongly: 2 s of 128 × 72 and sound, and more. */
interface Kind {
  name: string
  args: string[]
  change?: (file: Buffer) => Buffer
  size?: [width: number, height: number]
  withFfmpeg?: string
  withoutFfmpeg?: string
}

const FILM = [...picture(2), ...tone(2)]
const SECOND_SOUND = [...FILM, ...tone(2, 48_000), '-map', '0', '-map', '1', '-map', '2', ...h264]
const THUMBNAILS = ['-map', '0', '-map', '1', '-map', '2', ...h264]
const compress = (compression: Compression) => (file: Buffer) => withCompression(file, 1, compression)

/** Renames the last sample entry of AAC and the description of its codec, so that no program knows it. */
function asSpatial (file: Buffer): Buffer {
  const changed = Buffer.from(file)
  const entry = changed.lastIndexOf('mp4a')
  changed.write('apac', entry, 'latin1')
  changed.write('dapa', changed.indexOf('esds', entry), 'latin1')
  return changed
}

const KINDS: Record<string, Kind> = {
  'a second sound': { name: 'two.mp4', args: [...SECOND_SOUND] },
  'a commentary first': { name: 'commentary.mkv', args: [...SECOND_SOUND, '-disposition:a:0', 'comment'] },
  'AC-3 before AAC': { name: 'ac3.mkv', args: [...SECOND_SOUND, '-c:a:0', 'ac3'] },
  'a timecode track': { name: 'timecode.mov', args: [...FILM, ...h264, '-timecode', '01:00:00:00'] },
  'sound of 5.1(side)': {
    name: 'side.mp4',
    args: [...FILM, ...h264, '-af', 'aformat=channel_layouts=5.1(side)'],
    withoutFfmpeg: 'source_codec_unsupported'
  },
  'stripped headers, as mkvmerge writes them': {
    name: 'stripped.mkv',
    args: [...FILM, ...h264],
    change: compress('header stripping')
  },
  'compressed pictures': {
    name: 'compressed.mkv',
    args: [...FILM, ...h264],
    change: compress('zlib'),
    withoutFfmpeg: 'source_codec_unsupported'
  },
  'spatial sound beside AAC': { name: 'spatial.mp4', args: SECOND_SOUND, change: asSpatial },
  'only spatial sound': {
    name: 'only-spatial.mp4',
    args: [...FILM, ...h264],
    change: asSpatial,
    withFfmpeg: 'source_codec_unsupported',
    withoutFfmpeg: 'source_codec_unsupported'
  },
  thumbnails: { name: 'thumbnails.mp4', args: [...FILM, ...picture(2, '64x36', 1), ...THUMBNAILS, '-c:v:1', 'mjpeg'] },
  'thumbnails before stretched pictures': {
    name: 'thumbnails-first.mp4',
    args: [...picture(2, '64x36', 1), ...FILM, ...THUMBNAILS, '-c:v:0', 'mjpeg', '-filter:v:1', 'setsar=4/3'],
    size: [170, 72],
    withoutFfmpeg: 'source_stretched'
  }
}

t.test('files of unusual kinds have a stream of the pictures and the sound that play', {
  skip: noFfmpeg,
  timeout: 250_000
}, async (t) => {
  const folder = await temporaryFolder(t)
  const [withFfmpeg, without] = [await startPackageServer(t, true), await startPackageServer(t, false)]
  for (const [kind, { name, args, change, size = [128, 72], ...codes }] of Object.entries(KINDS)) {
    await t.test(kind, async (t) => {
      const whole = await readFile(await make(join(folder, name), ...args))
      const file = change === undefined ? whole : change(whole)
      for (const [server, code = 'ready'] of [
        [withFfmpeg, codes.withFfmpeg],
        [without, codes.withoutFfmpeg]
      ] as const) {
        const made = await server.stream(file, 'video')
        t.equal(made.code, code)
        if (!('path' in made)) continue
        t.ok(Math.abs(made.seconds - 2) <= 0.15, `${made.seconds} s`)
        const streams = await probeStreams(made.path)
        t.same(streams.map((stream) => stream.codec_name), ['h264', 'aac'])
        t.same([streams[0]!.width, streams[0]!.height], size)
        t.match(made.master, `,RESOLUTION=${size.join('x')},`)
        t.equal(await decodingErrors(made.path), '')
      }
    })
  }
})
