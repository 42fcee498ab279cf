/** An encoder of H.264: the software of ffmpeg, or the hardware of a machine. */
export interface Encoder {
  name: EncoderName
  /** Arguments before the input. */
  device: string[]
  /** Filters after those that make pictures of 8 bits and 4:2:0. */
  filters: string[]
  /** Arguments of the output, with the maximum bitrate in kbit/s. */
  output(maxKbits: number): string[]
}
export type EncoderName = 'software' | 'vaapi' | 'nvenc' | 'qsv'

/** Visually close to the source, as x264 counts (https://trac.ffmpeg.org/wiki/Encode/H.264). */
const QUALITY = '23'

const capped = (maxKbits: number) => ['-maxrate', `${maxKbits}k`, '-bufsize', `${2 * maxKbits}k`]

export const encoders: Record<EncoderName, Encoder> = {
  software: {
    name: 'software',
    device: [],
    filters: [],
    output: (maxKbits) => [
      ...['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-level:v', '4.1'],
      ...['-crf', QUALITY, ...capped(maxKbits), '-sc_threshold', '0']
    ]
  },
  vaapi: {
    name: 'vaapi',
    device: ['-vaapi_device', '/dev/dri/renderD128'],
    filters: ['format=nv12', 'hwupload'],
    output: (maxKbits) => [
      ...['-c:v', 'h264_vaapi', '-profile:v', 'high', '-level:v', '41'],
      // VA-API has no capped quality on all drivers, so this is a variable bitrate.
      ...['-b:v', `${Math.round(0.75 * maxKbits)}k`, ...capped(maxKbits)]
    ]
  },
  nvenc: {
    name: 'nvenc',
    device: [],
    filters: [],
    output: (maxKbits) => [
      ...['-c:v', 'h264_nvenc', '-preset', 'p4', '-profile:v', 'high', '-level:v', '4.1', '-forced-idr', '1'],
      ...['-rc', 'vbr', '-cq', QUALITY, '-b:v', '0', ...capped(maxKbits)]
    ]
  },
  qsv: {
    name: 'qsv',
    device: [],
    filters: ['format=nv12'],
    output: (maxKbits) => [
      ...['-c:v', 'h264_qsv', '-preset', 'veryfast', '-profile:v', 'high', '-level:v', '41', '-forced_idr', '1'],
      ...['-global_quality', QUALITY, ...capped(maxKbits)]
    ]
  }
}

/** The arguments that encode a second of a test picture. They fail if the hardware is missing. */
export function trialArguments ({ device, filters, output }: Encoder): string[] {
  return [
    ...['-nostdin', '-v', 'error', ...device, '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=1'],
    ...['-vf', ['format=yuv420p', ...filters].join(','), ...output(1000), '-f', 'null', '-']
  ]
}
