import t from 'tap'
import type { ContainerName, Track } from '../../../src/media/media-formats.js'
import { isPlayableEverywhere } from '../../../src/media/playable-everywhere.js'

const picture = (codec: string, profile: string | null = null, hdr = false): Track => ({
  kind: 'video',
  codec,
  language: null,
  channels: null,
  width: 640,
  height: 360,
  default: true,
  profile,
  hdr
})
const sound = (codec: string, profile: string | null = null): Track => ({
  kind: 'audio',
  codec,
  language: null,
  channels: 2,
  width: null,
  height: null,
  default: true,
  profile
})
const aac = sound('aac', 'mp4a.40.2')
const high = picture('h264', 'avc1.640028')

t.test('a file plays everywhere, or not, or it is unknown', async (t) => {
  const cases: Array<[name: string, container: ContainerName, tracks: Track[], expected: boolean | null]> = [
    ['H.264 High and AAC in MP4', 'mp4', [high, aac], true],
    ['H.264 High and AAC in M4V', 'm4v', [high, aac], true],
    ['H.264 Baseline without sound', 'mp4', [picture('h264', 'avc1.42c01e')], true],
    ['H.264 Main', 'mp4', [picture('h264', 'avc1.4d401f'), aac], true],
    ['H.264 of level 5.2', 'mp4', [picture('h264', 'avc1.640034'), aac], true],
    ['H.264 of level 6', 'mp4', [picture('h264', 'avc1.64003c'), aac], false],
    ['H.264 of 10 bits', 'mp4', [picture('h264', 'avc1.6e0028'), aac], false],
    ['H.264 4:2:2', 'mp4', [picture('h264', 'avc1.7a0028'), aac], false],
    ['H.264 4:4:4', 'mp4', [picture('h264', 'avc1.f40028'), aac], false],
    ['H.264 of high dynamic range', 'mp4', [picture('h264', 'avc1.640028', true), aac], false],
    ['H.264 of an unknown profile', 'mp4', [picture('h264'), aac], null],
    ['H.264 of an unknown profile, with sound that does not play', 'mp4', [picture('h264'), sound('ac3')], false],
    ['H.264 in MOV', 'mov', [high, aac], false],
    ['H.264 in Matroska', 'matroska', [high, aac], false],
    ['HEVC', 'mp4', [picture('hevc', 'hvc1.1.6.L93.B0'), aac], false],
    ['AV1', 'mp4', [picture('av1', 'av01.0.04M.08'), aac], false],
    ['AV1 in WebM', 'webm', [picture('av1', 'av01.0.04M.08'), sound('opus')], false],
    ['MPEG-4 ASP in AVI', 'avi', [picture('mpeg4'), sound('mp3')], false],
    ['H.264 in AVI', 'avi', [picture('h264'), sound('aac')], false],
    ['ProRes', 'mov', [picture('prores'), sound('pcm_s16le')], false],
    ['VP8 and Vorbis', 'webm', [picture('vp8', 'vp8'), sound('vorbis')], true],
    ['VP9 and Opus', 'webm', [picture('vp9', 'vp09.00.31.08'), sound('opus')], true],
    ['VP9 of 10 bits', 'webm', [picture('vp9', 'vp09.02.31.10'), sound('opus')], false],
    ['VP9 4:4:4', 'webm', [picture('vp9', 'vp09.01.31.08'), sound('opus')], false],
    ['AC-3 in MP4', 'mp4', [high, sound('ac3')], false],
    ['AC-3 before AAC', 'mp4', [high, sound('ac3'), aac], false],
    ['AC-3 after AAC', 'mp4', [high, aac, sound('ac3')], true],
    ['AAC of xHE', 'mp4', [high, sound('aac', 'mp4a.40.42')], false],
    ['AAC of an unknown profile', 'mp4', [high, sound('aac')], null],
    ['AAC in M4A', 'mp4', [aac], true],
    ['HE-AAC in M4A', 'mp4', [sound('aac', 'mp4a.40.5')], true],
    ['ALAC in M4A', 'mp4', [sound('alac')], false],
    ['AAC in ADTS', 'adts', [sound('aac')], true],
    ['MP3', 'mp3', [sound('mp3')], true],
    ['FLAC', 'flac', [sound('flac')], true],
    ['Opus in Ogg', 'ogg', [sound('opus')], true],
    ['Vorbis in Ogg', 'ogg', [sound('vorbis')], true],
    ['Speex in Ogg', 'ogg', [sound('speex')], false],
    ['PCM in WAV', 'wav', [sound('pcm_s16le')], true],
    ['ADPCM in WAV', 'wav', [sound('adpcm_ms')], false],
    ['sound in Matroska', 'matroska', [aac], false],
    ['no track', 'mp4', [], null]
  ]
  for (const [name, container, tracks, expected] of cases) {
    const description = { container, tracks, size: { width: 640, height: 360 }, durationMs: 1000 }
    t.equal(isPlayableEverywhere(description), expected, name)
  }
})
