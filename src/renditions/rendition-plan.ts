import { RenditionFault } from './rendition-fault.js'
import type { Source, SourceVideo } from './source.js'

/** What ffmpeg makes of the tracks of a file. A missing track is left out. */
export interface RenditionPlan {
  video: VideoPlan | undefined
  /** The index of the audio stream. */
  audioIndex: number | undefined
}

export interface VideoPlan {
  index: number
  /** The size after rotation, in square pixels. Both sides are even. */
  width: number
  height: number
  /** The ffmpeg filters. The last one makes 8-bit 4:2:0 frames. */
  filters: string[]
  /** The maximum bitrate, in kbit/s. */
  maxKbits: number
}

/** The frame is at most 1920 × 1080, or 1080 × 1920. */
const LONG_SIDE = 1920
const SHORT_SIDE = 1080
/**
 * A little above 8K (ITU-R BT.2020: 7680 × 4320). A small file may declare far more pixels, and decoding them takes
 * memory.
 */
const MAX_SOURCE_PIXELS = 8192 * 4320
/** H.264 level 4.1 (ITU-T H.264, table A-1): macroblocks of 16 × 16 pixels a second. */
const MAX_MACROBLOCKS_PER_SECOND = 245_760
const MAX_FRAME_RATE = 60
/** A measured rate may be slightly above its nominal rate. */
const RATE_TOLERANCE = 1.01

/** Maximum bitrates by pixels of a picture, in kbit/s, at 30 pictures a second. */
const CAPS: Array<[maxPixels: number, kbits: number]> = [
  [426 * 240, 400],
  [640 * 360, 800],
  [854 * 480, 1400],
  [1280 * 720, 2800],
  [LONG_SIDE * SHORT_SIDE, 5000]
]
const CAP_FRAME_RATE = 30

/** High dynamic range: PQ (SMPTE ST 2084) and HLG (ARIB STD-B67). */
const HDR_TRANSFERS = ['smpte2084', 'arib-std-b67']

/**
 * Plans the rendition of a source. With `type` audio, pictures are left out. Pure. **Throws** {@link RenditionFault}
 * for a source without tracks, with pictures that are too large, or with colours that cannot be converted.
 */
export function planRendition ({ video, audio }: Source, type: 'video' | 'audio'): RenditionPlan {
  if ((type === 'video' && video === undefined) || (type === 'audio' && audio === undefined)) {
    throw new RenditionFault('source_has_no_media')
  }
  return { video: type === 'video' ? planVideo(video!) : undefined, audioIndex: audio?.index }
}

function planVideo (source: SourceVideo): VideoPlan {
  if (source.width === 0 || source.height === 0) throw new RenditionFault('source_has_no_media')
  if (source.width * source.height > MAX_SOURCE_PIXELS) throw new RenditionFault('source_too_large')
  if (source.isDolbyVisionOnly) throw new RenditionFault('source_colour_unsupported')
  const size = fittingSize(source)
  const rate = cappedRate(source.frameRate, size)
  const shownRate = rate ?? Math.min(source.frameRate ?? CAP_FRAME_RATE, MAX_FRAME_RATE)
  return {
    index: source.index,
    ...size,
    filters: filtersOf(source, size, rate),
    maxKbits: Math.round(capOf(size) * Math.max(1, shownRate / CAP_FRAME_RATE))
  }
}

interface Size {
  width: number
  height: number
}

/** The displayed size, scaled down into the largest frame. Both sides are even, as 4:2:0 needs it. */
export function fittingSize ({ width, height, pixelAspect, rotation }: SourceVideo): Size {
  // Pixels that are not square are enlarged along one axis, never reduced, so that no detail is lost.
  const shown = { width: width * Math.max(pixelAspect, 1), height: height * Math.max(1 / pixelAspect, 1) }
  const [across, down] = rotation % 180 === 0 ? [shown.width, shown.height] : [shown.height, shown.width]
  const scale = Math.min(
    1,
    LONG_SIDE / Math.max(across, down),
    SHORT_SIDE / Math.min(across, down)
  )
  return { width: even(across * scale), height: even(down * scale) }
}

function even (value: number): number {
  return Math.max(2, 2 * Math.round(value / 2 - 0.25))
}

/** Returns the reduced frame rate: the rate divided by a whole number. Undefined if the rate is low enough. */
function cappedRate (rate: number | undefined, { width, height }: Size): number | undefined {
  if (rate === undefined) return undefined
  const macroblocks = Math.ceil(width / 16) * Math.ceil(height / 16)
  const maxRate = Math.min(MAX_FRAME_RATE, MAX_MACROBLOCKS_PER_SECOND / macroblocks) * RATE_TOLERANCE
  return rate <= maxRate ? undefined : rate / Math.ceil(rate / maxRate)
}

function capOf ({ width, height }: Size): number {
  return (CAPS.find(([maxPixels]) => width * height <= maxPixels) ?? CAPS.at(-1)!)[1]
}

function filtersOf (source: SourceVideo, { width, height }: Size, rate: number | undefined): string[] {
  return [
    ...(source.isInterlaced ? ['bwdif=mode=send_frame'] : []),
    ...(rate === undefined ? [] : [`fps=${rate.toFixed(5)}`]),
    ...(isHdr(source) ? [`scale=${width}:${height}`, ...toneMap(source)] : [scaleOf(source, width, height)]),
    'setsar=1',
    'format=yuv420p'
  ]
}

export function isHdr ({ transfer }: SourceVideo): boolean {
  return transfer !== undefined && HDR_TRANSFERS.includes(transfer)
}

/** RGB has no YCbCr matrix, so the output gets that of BT.709. */
function scaleOf ({ isRgb }: SourceVideo, width: number, height: number): string {
  const colours = isRgb ? ':out_color_matrix=bt709' : ''
  return `scale=${width}:${height}:flags=bicubic:out_range=tv${colours}`
}

/** Converts HDR to SDR: linear light, BT.709 primaries, Hable's tone curve for highlights, BT.709 transfer. */
function toneMap ({ transfer, primaries = 'bt2020', matrix = 'bt2020nc', isFullRange }: SourceVideo): string[] {
  const input = `tin=${transfer}:pin=${primaries}:min=${matrix}:rin=${isFullRange ? 'pc' : 'tv'}`
  return [
    `zscale=${input}:t=linear:npl=100`,
    'format=gbrpf32le',
    'zscale=p=bt709',
    'tonemap=hable:desat=0',
    'zscale=t=bt709:m=bt709:r=tv'
  ]
}
