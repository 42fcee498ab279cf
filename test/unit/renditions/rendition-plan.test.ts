import t from 'tap'
import { encoders } from '../../../src/renditions/encoders.js'
import { transcodeArguments } from '../../../src/renditions/ffmpeg-arguments.js'
import { fittingSize, planRendition } from '../../../src/renditions/rendition-plan.js'
import type { RenditionFault } from '../../../src/renditions/rendition-fault.js'
import type { SourceVideo } from '../../../src/renditions/source.js'

const source: SourceVideo = {
  index: 0,
  codec: 'hevc',
  width: 1920,
  height: 1080,
  pixelAspect: 1,
  rotation: 0,
  isInterlaced: false,
  isRgb: false,
  frameRate: 25,
  transfer: undefined,
  primaries: undefined,
  matrix: undefined,
  isFullRange: false,
  isDolbyVisionOnly: false
}
const plan = (change: Partial<SourceVideo> = {}) => {
  const video = { ...source, ...change }
  return planRendition({ video, audio: { index: 1, codec: 'aac' }, durationSeconds: 1 }, 'video').video!
}

t.test('a picture is upright, in square pixels, even, and at most 1080p', async (t) => {
  const cases: Array<[Partial<SourceVideo>, number, number]> = [
    [{}, 1920, 1080],
    [{ width: 640, height: 360 }, 640, 360],
    [{ width: 3840, height: 2160 }, 1920, 1080],
    [{ width: 3840, height: 2160, rotation: 90 }, 1080, 1920],
    [{ rotation: 270 }, 1080, 1920],
    [{ rotation: 180 }, 1920, 1080],
    [{ width: 1080, height: 1920 }, 1080, 1920],
    [{ width: 4000, height: 500 }, 1920, 240],
    [{ width: 2000, height: 2000 }, 1080, 1080],
    [{ width: 720, height: 576, pixelAspect: 64 / 45 }, 1024, 576],
    [{ width: 720, height: 480, pixelAspect: 8 / 9 }, 720, 540],
    [{ width: 427, height: 241 }, 426, 240],
    [{ width: 1, height: 1 }, 2, 2]
  ]
  for (const [change, width, height] of cases) {
    t.same(fittingSize({ ...source, ...change }), { width, height }, JSON.stringify(change))
  }
})

t.test('the rate fits level 4.1', async (t) => {
  const rateOf = (change: Partial<SourceVideo>) => plan(change).filters.find((filter) => filter.startsWith('fps='))
  t.equal(rateOf({ frameRate: 30 }), undefined)
  t.equal(rateOf({ frameRate: 60 }), 'fps=30.00000')
  t.equal(rateOf({ frameRate: 60_000 / 1001 }), 'fps=29.97003')
  t.equal(rateOf({ frameRate: 50 }), 'fps=25.00000')
  t.equal(rateOf({ frameRate: 60, width: 1280, height: 720 }), undefined)
  t.equal(rateOf({ frameRate: 240, width: 1280, height: 720 }), 'fps=60.00000')
  t.equal(rateOf({ frameRate: undefined }), undefined)
})

t.test('the bitrate is capped by the size and the rate', async (t) => {
  t.equal(plan().maxKbits, 5000)
  t.equal(plan({ width: 1280, height: 720 }).maxKbits, 2800)
  t.equal(plan({ width: 1280, height: 720, frameRate: 60 }).maxKbits, 5600)
  t.equal(plan({ width: 128, height: 72 }).maxKbits, 400)
})

t.test('pictures are deinterlaced, tone-mapped and converted from RGB where they need it', async (t) => {
  t.same(plan().filters, ['scale=1920:1080:flags=bicubic:out_range=tv', 'setsar=1', 'format=yuv420p'])
  t.match(plan({ isInterlaced: true }).filters[0], /^bwdif/)
  t.match(plan({ isRgb: true }).filters[0], /out_color_matrix=bt709$/)
  const hdr = plan({ transfer: 'smpte2084', width: 3840, height: 2160 }).filters
  t.equal(hdr[0], 'scale=1920:1080', 'the costly filters get the small picture')
  t.match(hdr.join(), /zscale=tin=smpte2084:pin=bt2020:min=bt2020nc:rin=tv:t=linear.*tonemap=hable/)
})

t.test('what no rendition can be made of is refused with a code', async (t) => {
  const code = (work: () => unknown) => {
    try {
      work()
    } catch (error) {
      return (error as RenditionFault).code
    }
    return 'made'
  }
  const none = { video: undefined, audio: undefined, durationSeconds: 1 }
  t.equal(code(() => planRendition(none, 'video')), 'source_has_no_media')
  t.equal(code(() => planRendition(none, 'audio')), 'source_has_no_media')
  t.equal(code(() => planRendition({ ...none, video: source }, 'audio')), 'source_has_no_media')
  t.equal(code(() => plan({ width: 16_000, height: 12_000 })), 'source_too_large')
  t.equal(code(() => plan({ isDolbyVisionOnly: true })), 'source_colour_unsupported')
  t.equal(code(() => plan()), 'made')
})

t.test('ffmpeg opens only files, and leaves out metadata', async (t) => {
  const args = transcodeArguments({
    path: 'in',
    target: 'out',
    plan: { video: plan(), audioIndex: 3 },
    encoder: encoders.software,
    threads: 2
  }).join(' ')
  t.match(args, '-protocol_whitelist file,pipe')
  t.match(args, '-map_metadata -1 -map_chapters -1')
  t.match(args, '-map 0:0')
  t.match(args, '-map 0:3')
  t.match(args, /-movflags \+faststart -f mp4 out$/)
})
