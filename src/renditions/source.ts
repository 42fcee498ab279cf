/** What a rendition needs to know about the pictures of a file. Sizes are those of the stored pictures. */
export interface SourceVideo {
  /** The index of the stream in the file. */
  index: number
  codec: string
  width: number
  height: number
  /** Width of a pixel, in heights of a pixel. */
  pixelAspect: number
  /** Clockwise turn with which the picture is shown: 0, 90, 180 or 270. */
  rotation: number
  isInterlaced: boolean
  isRgb: boolean
  /** Pictures a second, on average; undefined if unknown. */
  frameRate: number | undefined
  transfer: string | undefined
  primaries: string | undefined
  matrix: string | undefined
  isFullRange: boolean
  /** Dolby Vision of a profile whose base layer has no standard colours. */
  isDolbyVisionOnly: boolean
}

export interface SourceAudio {
  index: number
  codec: string
}

/** The tracks that a rendition shows. */
export interface Source {
  video: SourceVideo | undefined
  audio: SourceAudio | undefined
  durationSeconds: number | undefined
}

const FIELDS = [
  'index,codec_type,codec_name,width,height,sample_aspect_ratio,pix_fmt,field_order,avg_frame_rate,r_frame_rate',
  'color_range,color_space,color_transfer,color_primaries'
].join(',')

/** The arguments with which ffprobe describes a file as {@link parseSource} reads it. */
export function probeArguments (path: string): string[] {
  const entries = `stream=${FIELDS}:stream_disposition:stream_side_data:format=duration`
  return ['-v', 'error', '-protocol_whitelist', 'file,pipe', '-show_entries', entries, '-of', 'json', path]
}

type Fields = Record<string, unknown>

/** Reads the JSON of ffprobe. Fields of another type than expected count as unknown. Pure. */
export function parseSource (json: string): Source {
  const { streams, format } = JSON.parse(json) as { streams?: Fields[]; format?: Fields }
  const known = (streams ?? []).filter(({ codec_name: name }) => typeof name === 'string' && name !== 'unknown')
  const videos = known.filter((stream) => stream.codec_type === 'video' && !isCover(stream))
  const audios = known.filter((stream) => stream.codec_type === 'audio')
  const video = preferred(videos)
  const audio = preferred(audios)
  return {
    video: video && videoOf(video),
    audio: audio && { index: Number(audio.index), codec: String(audio.codec_name) },
    durationSeconds: positive(format?.duration)
  }
}

function isCover (stream: Fields): boolean {
  return hasDisposition(stream, 'attached_pic') || hasDisposition(stream, 'timed_thumbnails')
}

/** The default track that is no commentary, or else the first. */
function preferred (streams: Fields[]): Fields | undefined {
  const main = streams.filter(
    (stream) => !['comment', 'visual_impaired', 'hearing_impaired'].some((name) => hasDisposition(stream, name))
  )
  return main.find((stream) => hasDisposition(stream, 'default')) ?? main[0] ?? streams[0]
}

function hasDisposition ({ disposition }: Fields, name: string): boolean {
  return (disposition as Fields | undefined)?.[name] === 1
}

function videoOf (stream: Fields): SourceVideo {
  const sideData = (stream.side_data_list ?? []) as Fields[]
  const turns = sideData.map(({ rotation }) => rotation).filter((rotation) => typeof rotation === 'number')
  const dolbyVision = sideData.find(({ dv_profile: profile }) => profile !== undefined)
  return {
    index: Number(stream.index),
    codec: String(stream.codec_name),
    width: positive(stream.width) ?? 0,
    height: positive(stream.height) ?? 0,
    pixelAspect: ratioOf(stream.sample_aspect_ratio, ':') ?? 1,
    // ffprobe counts counterclockwise.
    rotation: (((Math.round(-(turns[0] ?? 0) / 90) * 90) % 360) + 360) % 360,
    isInterlaced: ['tt', 'bb', 'tb', 'bt'].includes(String(stream.field_order)),
    isRgb: /^(gbr|rgb|bgr|argb|abgr|0rgb|0bgr|pal8)/.test(String(stream.pix_fmt)),
    frameRate: ratioOf(stream.avg_frame_rate, '/') ?? ratioOf(stream.r_frame_rate, '/'),
    transfer: knownText(stream.color_transfer),
    primaries: knownText(stream.color_primaries),
    matrix: knownText(stream.color_space),
    isFullRange: stream.color_range === 'pc' || /^yuvj/.test(String(stream.pix_fmt)),
    isDolbyVisionOnly:
      dolbyVision !== undefined && Number(dolbyVision.dv_bl_signal_compatibility_id ?? 0) === 0
  }
}

function positive (value: unknown): number | undefined {
  const number = Number(value)
  return Number.isFinite(number) && number > 0 ? number : undefined
}

/** Undefined for `0:1`, `N/A` and other ratios that are no positive number. */
function ratioOf (value: unknown, separator: string): number | undefined {
  const [numerator, denominator] = String(value).split(separator).map(Number)
  return positive(numerator! / denominator!)
}

function knownText (value: unknown): string | undefined {
  return typeof value === 'string' && !['unknown', 'unspecified', 'reserved'].includes(value) ? value : undefined
}
