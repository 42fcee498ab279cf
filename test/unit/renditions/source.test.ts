import t from 'tap'
import { parseSource } from '../../../src/renditions/source.js'

const video = {
  index: 0,
  codec_type: 'video',
  codec_name: 'hevc',
  width: 1920,
  height: 1080,
  sample_aspect_ratio: '4:3',
  pix_fmt: 'yuv420p10le',
  field_order: 'progressive',
  avg_frame_rate: '30000/1001',
  color_transfer: 'arib-std-b67',
  color_space: 'unknown',
  disposition: { default: 1 }
}
const parse = (...streams: object[]) => parseSource(JSON.stringify({ streams, format: { duration: '2.5' } }))

t.test('the fields of a picture are read', async (t) => {
  const { video: found, durationSeconds } = parse(video)
  t.equal(durationSeconds, 2.5)
  t.match(found, { index: 0, codec: 'hevc', width: 1920, height: 1080, rotation: 0, transfer: 'arib-std-b67' })
  t.equal(found?.matrix, undefined)
  t.ok(Math.abs(found!.pixelAspect - 4 / 3) < 1e-9)
  t.ok(Math.abs(found!.frameRate! - 29.97) < 0.01)
  t.equal(found!.isInterlaced, false)
})

t.test('a counterclockwise turn becomes a clockwise one', async (t) => {
  for (const [rotation, expected] of [
    [-90, 90],
    [90, 270],
    [180, 180],
    [-180, 180],
    [0, 0],
    [-89.6, 90]
  ]) {
    t.equal(parse({ ...video, side_data_list: [{ rotation }] }).video?.rotation, expected, String(rotation))
  }
})

t.test('unknown and hostile values count as unknown', async (t) => {
  const odd = parse({ ...video, width: 'x', sample_aspect_ratio: '0:1', avg_frame_rate: '0/0', r_frame_rate: '25/1' })
  t.match(odd.video, { width: 0, pixelAspect: 1, frameRate: 25 })
  t.match(parseSource('{}'), { video: undefined, audio: undefined, durationSeconds: undefined })
  t.equal(parse({ ...video, codec_name: 'unknown' }).video, undefined)
  t.equal(parse({ ...video, codec_name: undefined }).video, undefined)
})

t.test('covers and commentaries are not chosen, and the default track is', async (t) => {
  const cover = { ...video, index: 1, disposition: { default: 1, attached_pic: 1 } }
  t.equal(parse(cover, { ...video, index: 2 }).video?.index, 2)
  t.equal(parse(cover).video, undefined)
  const audio = (index: number, disposition: object) => ({ index, codec_type: 'audio', codec_name: 'aac', disposition })
  t.equal(parse(audio(1, { comment: 1, default: 1 }), audio(2, {})).audio?.index, 2)
  t.equal(parse(audio(1, {}), audio(2, { default: 1 })).audio?.index, 2)
  t.equal(parse(audio(1, {}), audio(2, {})).audio?.index, 1)
})

t.test('Dolby Vision is refused only without a compatible base layer', async (t) => {
  const dolby = (profile: number, compatibility: number) =>
    parse({ ...video, side_data_list: [{ dv_profile: profile, dv_bl_signal_compatibility_id: compatibility }] })
  t.equal(dolby(5, 0).video?.isDolbyVisionOnly, true)
  t.equal(dolby(8, 4).video?.isDolbyVisionOnly, false)
})

t.test('interlaced, full-range and RGB pictures are known', async (t) => {
  t.equal(parse({ ...video, field_order: 'tt' }).video?.isInterlaced, true)
  t.equal(parse({ ...video, pix_fmt: 'yuvj420p' }).video?.isFullRange, true)
  t.equal(parse({ ...video, color_range: 'pc' }).video?.isFullRange, true)
  t.equal(parse({ ...video, pix_fmt: 'gbrp' }).video?.isRgb, true)
  t.equal(parse(video).video?.isRgb, false)
})
