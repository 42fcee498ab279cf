import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withMatrix } from './display-matrix.js'
import { make } from './ffmpeg.js'

/** A file that common browsers do not play, and how its rendition must look. */
export interface OddSource {
  name: string
  file: string
  size: string
  type?: 'video' | 'audio'
  /** Filters that make the reference of a source whose pictures the rendition changes. */
  reference?: string
  /** Tone mapping changes every pixel on purpose. */
  skipsSimilarity?: boolean
  /** ffmpeg's arguments after the inputs. */
  codecs: string[]
  input?: { size?: string; rate?: string; picture?: string; sound?: string }
  /** Changes the made file. */
  change?: (content: Buffer) => Buffer
  /** Made in the everyday run, too. */
  isEssential?: boolean
}

/** The flash and the tone of a source start at this second. */
export const MARK_SECONDS = 1
const SECONDS = 2

const x264 = (format: string, profile: string) => [
  ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', format, '-profile:v', profile]
]
const hevc = (format = 'yuv420p') => [
  ...['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=error'],
  ...['-pix_fmt', format, '-tag:v', 'hvc1']
]
const HLG = ['-color_primaries', 'bt2020', '-color_trc', 'arib-std-b67', '-colorspace', 'bt2020nc']
const surround = (layout: string) => `pan=${layout}|FL=c0|FR=c0|FC=c0`

export const ODD_SOURCES: OddSource[] = [
  {
    name: 'HEVC of a phone, portrait by its matrix',
    file: 'portrait.mp4',
    size: '180x320',
    codecs: [...hevc(), '-c:a', 'aac'],
    change: (content) => withMatrix(content, [0, 1, -1, 0]),
    isEssential: true
  },
  {
    name: 'HEVC of high dynamic range (HLG)',
    file: 'hdr.mp4',
    size: '320x180',
    codecs: [...hevc('yuv420p10le'), ...HLG, '-c:a', 'aac'],
    skipsSimilarity: true
  },
  {
    name: 'MPEG-4 ASP and MP3 in AVI',
    file: 'asp.avi',
    size: '320x180',
    codecs: ['-c:v', 'mpeg4', '-q:v', '3', '-c:a', 'mp3'],
    isEssential: true
  },
  { name: 'ProRes and PCM', file: 'prores.mov', size: '320x180', codecs: ['-c:v', 'prores_ks', '-c:a', 'pcm_s16le'] },
  {
    name: 'interlaced MPEG-2 in Matroska',
    file: 'interlaced.mkv',
    size: '320x180',
    reference: 'bwdif=mode=send_frame,',
    codecs: ['-c:v', 'mpeg2video', '-q:v', '3', '-flags', '+ildct+ilme', '-top', '1', '-c:a', 'mp2'],
    input: { picture: 'testsrc2=size=320x180:rate=50:duration=2,tinterlace=interleave_top,setfield=tff' }
  },
  {
    name: 'VP9 with alpha',
    file: 'alpha.webm',
    size: '320x180',
    codecs: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-pix_fmt', 'yuva420p', '-c:a', 'libopus']
  },
  {
    name: 'H.264 of 10 bits',
    file: 'ten.mp4',
    size: '320x180',
    codecs: [...x264('yuv420p10le', 'high10'), '-c:a', 'aac'],
    isEssential: true
  },
  {
    name: 'H.264 4:2:2 with AC-3 of 5.1',
    file: 'surround.mkv',
    size: '320x180',
    codecs: [...x264('yuv422p', 'high422'), '-c:a', 'ac3'],
    input: { sound: surround('5.1') }
  },
  {
    name: 'FLAC of 7.1',
    file: 'wide.mkv',
    size: '320x180',
    codecs: [...x264('yuv420p', 'high'), '-c:a', 'flac'],
    input: { sound: surround('7.1') }
  },
  {
    name: 'a variable rate',
    file: 'variable.mkv',
    size: '320x180',
    codecs: [...hevc(), '-fps_mode', 'vfr', '-c:a', 'aac'],
    input: { picture: "testsrc2=size=320x180:rate=50:duration=2,select='not(mod(n,3))+not(mod(n,7))'" }
  },
  {
    name: '8 kHz mono ADPCM',
    file: 'phone.wav',
    type: 'audio',
    size: 'null',
    codecs: ['-vn', '-ar', '8000', '-ac', '1', '-c:a', 'adpcm_ms'],
    isEssential: true
  },
  { name: 'ALAC', file: 'lossless.m4a', type: 'audio', size: 'null', codecs: ['-vn', '-c:a', 'alac'] },
  {
    name: 'odd sizes',
    file: 'odd.mkv',
    size: '320x180',
    codecs: [...x264('yuv444p', 'high444'), '-c:a', 'aac'],
    input: { size: '321x181' }
  },
  {
    name: '23.976 pictures a second, of wide pixels',
    file: 'film.mov',
    size: '426x180',
    codecs: [...x264('yuv420p', 'high'), '-aspect', '2.37', '-c:a', 'pcm_s16le'],
    input: { rate: '24000/1001' }
  },
  { name: 'pictures without sound', file: 'silent.avi', size: '320x180', codecs: ['-an', '-c:v', 'mjpeg', '-q:v', '3'] }
]

/** Makes a source: a moving picture with a white flash, and a tone that starts with the flash. */
export async function makeOddSource (folder: string, { file, codecs, input = {}, change }: OddSource): Promise<string> {
  const { size = '320x180', rate = '25', sound } = input
  const { picture = `testsrc2=size=${size}:rate=${rate}:duration=${SECONDS}` } = input
  const flash = `drawbox=color=white:t=fill:enable='between(t,${MARK_SECONDS},${MARK_SECONDS + 0.2})'`
  const tone = `sine=frequency=880:sample_rate=48000:duration=${SECONDS},volume=0:enable='lt(t,${MARK_SECONDS})'`
  const path = join(folder, file)
  const inputs = [
    ...['-f', 'lavfi', '-i', `${picture},${flash}`],
    ...['-f', 'lavfi', '-i', sound === undefined ? tone : `${tone},${sound}`]
  ]
  await make(path, ...inputs, ...codecs)
  if (change !== undefined) await writeFile(path, change(await readFile(path)))
  return path
}
