import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** A stream of a file as ffprobe describes it. */
export interface ProbedStream {
  codec_type: string
  codec_name: string
  width?: number
  height?: number
  sample_aspect_ratio?: string
  profile?: string
  level?: number
  avg_frame_rate?: string
}

export async function probeStreams (path: string): Promise<ProbedStream[]> {
  const { stdout } = await promisify(execFile)('ffprobe', ['-v', 'error', '-show_streams', '-of', 'json', path])
  return (JSON.parse(stdout) as { streams: ProbedStream[] }).streams
}

/** Returns the width and height of the first picture track, in samples. */
export async function sizeOf (path: string): Promise<[width?: number, height?: number]> {
  const video = (await probeStreams(path)).find(({ codec_type: type }) => type === 'video')
  return [video?.width, video?.height]
}
