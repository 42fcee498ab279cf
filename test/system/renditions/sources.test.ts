import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Transcoder } from '../../../src/renditions/transcoder.js'
import { durationOf, noFfmpeg, temporaryFolder } from '../../support/ffmpeg.js'
import { makeOddSource, ODD_SOURCES, type OddSource } from '../../support/odd-sources.js'
import {
  flashSecond,
  keyFrameSeconds,
  similarity,
  startsFast,
  streamsOf,
  toneSecond
} from '../../support/rendition-checks.js'

const LONG = Boolean(process.env.TEST_LONG)
const MIN_SIMILARITY = 0.95
const MAX_DRIFT_SECONDS = 0.04
const MAX_DURATION_ERROR_SECONDS = 0.15

const transcoder = new Transcoder({
  searchPath: process.env.PATH!,
  hardware: 'none',
  onHardwareFault: (error) => t.fail(String(error))
})

for (const source of ODD_SOURCES.filter(({ isEssential }) => LONG || isEssential)) {
  t.test(`a rendition of ${source.name}`, { skip: noFfmpeg, timeout: 120_000 }, async (t) => {
    const folder = await temporaryFolder(t)
    const path = await makeOddSource(folder, source)
    const target = join(folder, 'made')
    const { type = 'video' } = source
    const percents: number[] = []
    const durationMs = (await durationOf(path)) * 1000
    const made = await transcoder.make({
      path,
      target,
      type,
      sizeBytes: (await readFile(path)).length,
      durationMs,
      signal: new AbortController().signal,
      onProgress: (percent) => percents.push(percent)
    })
    t.equal(`${made.width}x${made.height}`.replace('nullxnull', 'null'), source.size, 'upright, even and square')
    t.equal(made.contentType, `${type}/mp4`)
    t.ok(percents.every((percent) => percent >= 0 && percent < 100))
    t.ok(startsFast(await readFile(target)), 'the index comes first')
    const seconds = await durationOf(target)
    t.ok(Math.abs(seconds - durationMs / 1000) < MAX_DURATION_ERROR_SECONDS, `${seconds} of ${durationMs / 1000} s`)
    await checkSound(t, target, source)
    if (type === 'video') await checkPictures(t, path, target, source)
  })
}

async function checkSound (t: Test, target: string, { codecs }: OddSource): Promise<void> {
  const audio = (await streamsOf(target)).find((stream) => stream.codec_type === 'audio')
  const expected = { codec_name: 'aac', profile: 'LC', channels: 2, sample_rate: '48000' }
  if (codecs.includes('-an')) t.equal(audio, undefined, 'no sound')
  else t.match(audio, expected)
}

async function checkPictures (t: Test, path: string, target: string, source: OddSource): Promise<void> {
  const video = (await streamsOf(target)).find((stream) => stream.codec_type === 'video')
  t.match(video, { codec_name: 'h264', profile: 'High', pix_fmt: 'yuv420p', sample_aspect_ratio: '1:1' })
  t.ok(Number(video?.level) <= 41, `level ${String(video?.level)}`)
  t.notOk(video?.side_data_list, 'no matrix turns the pictures')
  const keys = await keyFrameSeconds(target)
  t.ok(keys.every((second, index) => second - (keys[index - 1] ?? 0) < 2.1), `key frames at ${keys.join()}`)
  if (!source.skipsSimilarity) {
    const similar = await similarity(path, target, source.reference)
    t.ok(similar >= MIN_SIMILARITY, `SSIM ${similar}`)
    t.comment(`figure: ${source.name}: SSIM ${similar}`)
  } else {
    t.match(video, { color_transfer: 'bt709', color_primaries: 'bt709', color_space: 'bt709' })
  }
  if (source.codecs.includes('-an')) return
  const [flash, tone] = [await flashSecond(target), await toneSecond(target)]
  const drift = flash! - tone! - ((await flashSecond(path))! - (await toneSecond(path))!)
  t.ok(Math.abs(drift) <= MAX_DRIFT_SECONDS, `pictures and sound are ${drift} s apart from the source`)
  t.comment(`figure: ${source.name}: drift ${Math.round(drift * 1000)} ms`)
}
