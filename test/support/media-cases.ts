import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { picture, tone } from './ffmpeg.js'

/** A file that ffmpeg makes, and what is right of it. */
export interface MediaCase {
  name: string
  /** ffmpeg's arguments. */
  args: string[]
  /** Changes the file after ffmpeg has written it. */
  change?: (path: string) => Promise<void>
  expected: {
    type: 'video' | 'audio'
    seconds?: number
    size?: [width: number, height: number]
    contentType?: string
    tracks?: object[]
    /** The code of the refusal. */
    code?: string
    /** A word of its detail. */
    detail?: RegExp
  }
}

const SECONDS = 2
const film = [...picture(SECONDS, '128x72', 10), ...tone(SECONDS)]
const sound = tone(SECONDS)
/** A sound, and a cover as a film of one picture. */
const cover = [...tone(SECONDS), '-f', 'lavfi', '-i', 'testsrc=size=64x64:rate=1:duration=1', '-frames:v', '1']
const avc = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p']
const aac = ['-c:a', 'aac', '-b:a', '48k']
const vp8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libvorbis']
const bothSounds = ['-map', '0:v', '-map', '1:a', '-map', '1:a']
const isVideo: MediaCase['expected'] = { type: 'video', seconds: SECONDS, size: [128, 72] }
const isAudio: MediaCase['expected'] = { type: 'audio', seconds: SECONDS }
const isCut: MediaCase['expected'] = { type: 'video', code: 'media_truncated' }
const half = async (path: string) => await truncate(path, Math.ceil((await stat(path)).size / 2))

const unaccepted = (detail: RegExp): MediaCase['expected'] => ({
  type: 'video',
  code: 'unsupported_media_format',
  detail
})

/** Writes a quarter turn into the matrix of the first track (ISO/IEC 14496-12, 8.3.2). */
async function turned (path: string): Promise<void> {
  const content = await readFile(path)
  const matrix = content.indexOf('tkhd') + 44
  for (const [index, value] of [0, -1, 0, 1, 0, 0].entries()) content.writeInt32BE(value * 0x10000, matrix + 4 * index)
  await writeFile(path, content)
}

/** Sets the length of the last part to 0, as a camera leaves it whose battery is empty. */
async function unfinished (path: string): Promise<void> {
  const content = await readFile(path)
  const end = content.indexOf('moov') - 4
  content.writeUInt32BE(0, content.indexOf('mdat') - 4)
  await writeFile(path, content.subarray(0, end))
}

const films: MediaCase[] = [
  { name: 'phone.3gp', args: [...film, ...avc, ...aac], expected: { ...isVideo, contentType: 'video/mp4' } },
  {
    name: 'old-phone.3gp',
    args: [...picture(SECONDS, '128x96', 10), '-c:v', 'h263'],
    expected: { ...isVideo, size: [128, 96], tracks: [{ kind: 'video', codec: 'h263' }] }
  },
  {
    name: 'turned.mov',
    args: [...film, ...avc, ...aac],
    change: turned,
    expected: { ...isVideo, size: [72, 128], contentType: 'video/quicktime' }
  },
  {
    name: 'wide.mp4',
    args: [...film, ...avc, ...aac, '-vf', 'setsar=16/9'],
    expected: { ...isVideo, size: [228, 72] }
  },
  {
    name: 'fragments.mp4',
    args: [...film, ...avc, ...aac, '-g', '5', '-movflags', 'frag_keyframe+empty_moov'],
    expected: isVideo
  },
  {
    name: 'cut-fragments.mp4',
    args: [...film, ...avc, ...aac, '-g', '5', '-movflags', 'frag_keyframe+empty_moov'],
    change: half,
    expected: isCut
  },
  { name: 'unfinished.mp4', args: [...film, ...avc, ...aac], change: unfinished, expected: isCut },
  { name: 'cut.mov', args: [...film, ...avc, ...aac, '-movflags', 'faststart'], change: half, expected: isCut },
  { name: 'cut.mkv', args: [...film, ...avc, ...aac], change: half, expected: isCut },
  { name: 'cut.avi', args: [...film, '-c:v', 'mpeg4', ...aac], change: half, expected: isCut },
  { name: 'motion-jpeg.avi', args: [...film, '-c:v', 'mjpeg', '-c:a', 'pcm_s16le'], expected: isVideo },
  { name: 'motion-jpeg.mkv', args: [...film, '-c:v', 'mjpeg', '-c:a', 'pcm_s16le'], expected: isVideo },
  {
    name: 'languages.mkv',
    args: [
      ...[...film, ...bothSounds, ...avc, ...aac, '-disposition:a:0', '0', '-disposition:a:1', 'default'],
      ...['-metadata:s:a:0', 'language=fre', '-metadata:s:a:1', 'language=ger']
    ],
    expected: {
      ...isVideo,
      tracks: [{ kind: 'video' }, { language: 'fre', default: false }, { language: 'ger', default: true }]
    }
  },
  { name: 'at-an-hour.mkv', args: [...film, ...avc, ...aac, '-output_ts_offset', '3600'], expected: isVideo },
  { name: 'live.webm', args: [...film, ...vp8, '-live', '1'], expected: { ...isVideo, contentType: 'video/webm' } }
]

const sounds: MediaCase[] = [
  {
    name: 'five-one.m4a',
    args: [...sound, '-af', 'pan=5.1|c0=c0', ...aac],
    expected: { ...isAudio, tracks: [{ codec: 'aac', channels: 6 }] }
  },
  { name: 'lossless.m4a', args: [...sound, '-c:a', 'alac'], expected: { ...isAudio, tracks: [{ codec: 'alac' }] } },
  { name: 'book.m4b', args: [...sound, ...aac, '-f', 'ipod'], expected: { ...isAudio, contentType: 'audio/mp4' } },
  // Bug: the cover was a video.
  {
    name: 'covered.mka',
    args: [...cover, '-c:a', 'libvorbis', '-c:v', 'mjpeg'],
    expected: { ...isAudio, tracks: [{ kind: 'audio', codec: 'vorbis' }], contentType: 'audio/x-matroska' }
  },
  { name: 'flac.mka', args: [...sound, '-c:a', 'flac'], expected: isAudio },
  // Bug: the length was that of an average bit rate.
  { name: 'adpcm.wav', args: [...sound, '-c:a', 'adpcm_ms'], expected: isAudio },
  { name: 'large.wav', args: [...sound, '-c:a', 'pcm_s24le', '-rf64', 'always'], expected: isAudio },
  { name: 'double.wav', args: [...sound, '-c:a', 'pcm_f64le'], expected: { ...isAudio, tracks: [{ channels: 1 }] } },
  {
    name: 'slow.mp3',
    args: [...sound, '-ar', '8000', '-b:a', '8k', '-write_xing', '0'],
    expected: { ...isAudio, seconds: 2.16 }
  },
  { name: 'cut.flac', args: [...sound, '-c:a', 'flac'], change: half, expected: { ...isCut, type: 'audio' } },
  { name: 'cut.opus', args: [...sound, '-c:a', 'libopus'], change: half, expected: { ...isCut, type: 'audio' } },
  { name: 'flac.ogg', args: [...sound, '-c:a', 'flac'], expected: { ...isAudio, tracks: [{ codec: 'flac' }] } },
  { name: 'speex.ogg', args: [...sound, '-ar', '16000', '-c:a', 'libspeex'], expected: isAudio }
]

const others: MediaCase[] = [
  { name: 'stream.ts', args: [...film, ...avc, ...aac], expected: unaccepted(/MPEG transport stream/) },
  { name: 'camera.m2ts', args: [...film, ...avc, '-c:a', 'ac3'], expected: unaccepted(/MPEG transport stream/) },
  { name: 'dvd.mpg', args: [...film, '-c:v', 'mpeg2video', '-c:a', 'mp2', '-f', 'vob'], expected: unaccepted(/MPEG-2/) },
  { name: 'theora.ogv', args: [...film, '-c:v', 'libtheora', '-c:a', 'libvorbis'], expected: unaccepted(/Theora/) },
  { name: 'flash.flv', args: [...film, ...avc, ...aac], expected: unaccepted(/Flash/) },
  { name: 'windows.wmv', args: [...film, '-c:v', 'wmv2', '-c:a', 'wmav2'], expected: unaccepted(/Windows Media/) },
  { name: 'apple.aiff', args: sound, expected: unaccepted(/AIFF/) }
]

export const mediaCases = [...films, ...sounds, ...others]
