import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { call, DemoFailure, digest, download, jsonOf, upload, type Answer } from './client.js'
import type { Instance } from './instance.js'
import { inBytes, type DemoFile, type Terminal } from './terminal.js'

/** The state that the steps share. */
interface DemoContext {
  origin: string
  terminal: Terminal
  file: DemoFile
  headers: { authorization: string }
  media: Media
}
interface Media {
  id: string
  title: string
  content_type: string
  duration_seconds: number | null
  width: number | null
  height: number | null
  codecs: string[]
  sha256: string
}

const AUDIO = /\.(mp3|wav|m4a|aac|ogg|opus|flac)$/i
/** The number of views of each address. The numbers differ, so that the chart has different bars. */
const VIEWS: Array<[address: string, times: number]> = [
  ['127.0.0.2', 5],
  ['127.0.0.3', 1],
  ['127.0.0.4', 3],
  ['127.0.0.5', 2],
  ['127.0.0.6', 4]
]

/**
 * Runs the scenario from signup to the analytics, and checks each step. **Throws** {@link DemoFailure} at the first
 * failed check.
 */
export async function runScenario (
  { origin, peakMemory }: Instance,
  file: DemoFile,
  terminal: Terminal
): Promise<void> {
  const headers = { authorization: `Bearer ${await signUp(origin, terminal)}` }
  const media = await sendFile(origin, headers, file, terminal)
  await peakMemory()
  const context = { origin, terminal, file, headers, media }
  const url = await mintLink(context)
  await tryRanges(context, url)
  await streamWhole(context, url)
  await peakMemory()
  await watchFromSeveral(context)
  await showAnalytics(context)
  await tryBadLinks(context, url)
}

async function signUp (origin: string, terminal: Terminal): Promise<string> {
  terminal.step('Sign up')
  const json = { email: 'demo@example.org', password: crypto.randomUUID() }
  const account = jsonOf<{ email: string; role: string; access_token: string }>(
    await call(`${origin}/auth/signup`, { method: 'POST', json }),
    201
  )
  terminal.good(`201  ${account.email} is ${account.role}: the first account of a fresh server`)
  return account.access_token
}

async function sendFile (
  origin: string,
  headers: DemoContext['headers'],
  file: DemoFile,
  terminal: Terminal
): Promise<Media> {
  terminal.step('Upload, streamed from disk to disk')
  const progress = terminal.progress(file.sizeBytes)
  const answer = await upload(
    `${origin}/media`,
    headers,
    { title: file.name, type: AUDIO.test(file.name) ? 'audio' : 'video' },
    [{ field: 'file', file }],
    progress.update
  )
  if (answer.status === 415) {
    throw new DemoFailure(
      `${file.name} is not a media file that Playgate takes (the server answered 415 ${codeOf(answer)})`
    )
  }
  const media = jsonOf<Media>(answer, 201)
  progress.end()
  const size = media.width === null ? '' : `, ${media.width}x${media.height}`
  terminal.good(
    `201  ${media.content_type}, ${media.codecs.join(' + ')}${size}, ${media.duration_seconds ?? 'unknown'} s`
  )
  return media
}

async function mintLink ({ origin, headers, media, terminal }: DemoContext): Promise<string> {
  terminal.step('A link that expires')
  const link = await linkFor(origin, headers, media, 'auto')
  terminal.good(`200  good for ${link.expires_in} s, until ${link.expires_at}`)
  terminal.say(link.stream_url)
  return link.stream_url
}

async function linkFor (origin: string, headers: DemoContext['headers'], { id }: Media, expiresIn: string) {
  return jsonOf<{ stream_url: string; expires_in: number; expires_at: string }>(
    await call(`${origin}/media/${id}/stream-url?expires_in=${expiresIn}`, { headers }),
    200
  )
}

async function tryRanges ({ file, terminal }: DemoContext, url: string): Promise<void> {
  terminal.step('Range requests, as a player seeks')
  const middle = Math.floor(file.sizeBytes / 2)
  for (const range of ['bytes=0-1', `bytes=${middle}-${Math.min(middle + 999, file.sizeBytes - 1)}`, 'bytes=-500']) {
    const { status, headers, bytes } = await call(url, { headers: { range } })
    const contentRange = headers['content-range'] ?? ''
    const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(contentRange) ?? []
    if (status !== 206 || start === undefined || !bytes.equals(await slice(file.path, Number(start), Number(end)))) {
      throw new DemoFailure(`"Range: ${range}" was answered ${status} with other bytes than the file's`)
    }
    terminal.good(`${status}  ${range.padEnd(27)} Content-Range: ${contentRange}  same bytes`)
  }
}

/** Returns the bytes `start` to `end` of a file, both inclusive. */
async function slice (path: string, start: number, end: number): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start + 1), 0, end - start + 1, start)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function streamWhole ({ file, media, terminal }: DemoContext, url: string): Promise<void> {
  terminal.step('Stream the whole file')
  const progress = terminal.progress(file.sizeBytes)
  const streamed = await download(url, progress.update)
  progress.end()
  const own = await digest(createReadStream(file.path))
  if (streamed.status !== 200 || streamed.sha256 !== own.sha256 || media.sha256 !== own.sha256) {
    throw new DemoFailure(
      `the stream (${streamed.status}, sha256 ${streamed.sha256}) is not the file (sha256 ${own.sha256})`
    )
  }
  terminal.good(`${streamed.status}  ${inBytes(streamed.sizeBytes)}, sha256 equals the file's`)
  terminal.say(own.sha256)
}

async function watchFromSeveral ({ origin, headers, media, terminal }: DemoContext): Promise<void> {
  terminal.step('Views from several addresses')
  const several = await call(`${origin}/livez`, { from: VIEWS[0]![0] }).then(
    () => true,
    () => false
  )
  if (!several) {
    terminal.say('This system has only one loopback address (Linux has many), so all views come from 127.0.0.1.')
  }
  const posts = VIEWS.flatMap(([address, times]) =>
    Array.from({ length: times }, async () =>
      jsonOf(
        await call(`${origin}/media/${media.id}/view`, {
          method: 'POST',
          headers,
          from: several ? address : undefined
        }),
        200
      )
    )
  )
  await Promise.all(posts)
  terminal.good(
    `200  ${posts.length} views, posted at once from ${several ? VIEWS.length : 1} address${several ? 'es' : ''}; ` +
      'the stream above counted one more'
  )
}

async function showAnalytics ({ origin, headers, media, terminal }: DemoContext): Promise<void> {
  terminal.step('Analytics')
  const analytics = jsonOf<{ total_views: number; unique_viewers: number; views_per_day: Record<string, number> }>(
    await call(`${origin}/media/${media.id}/analytics`, { headers }),
    200
  )
  const log = jsonOf<{ items: Array<{ viewed_by_ip: string }> }>(
    await call(`${origin}/media/${media.id}/views?size=100`, { headers }),
    200
  )
  const perAddress = new Map<string, number>()
  for (const { viewed_by_ip: address } of log.items) perAddress.set(address, (perAddress.get(address) ?? 0) + 1)
  const expected = VIEWS.reduce((total, [, times]) => total + times, 1)
  if (analytics.total_views !== expected || analytics.unique_viewers !== perAddress.size) {
    throw new DemoFailure(
      `the analytics say ${analytics.total_views} views by ${analytics.unique_viewers} viewers, not ${expected} by ` +
        `${perAddress.size}`
    )
  }
  const counted = `${analytics.total_views} views by ${analytics.unique_viewers} viewers`
  terminal.good(`200  ${counted}, as a recount of the log says`)
  terminal.say('Views per address')
  terminal.chart([...perAddress].sort(([a], [b]) => a.localeCompare(b)))
  terminal.say('Views per day')
  terminal.chart(Object.entries(analytics.views_per_day))
}

async function tryBadLinks ({ origin, headers, media, terminal }: DemoContext, url: string): Promise<void> {
  terminal.step('Links that open nothing')
  const altered = url.replace(/exp=(\d+)/, (_, exp: string) => `exp=${Number(exp) + 3600}`)
  expectRefusal(await call(altered), 'stream_link_invalid', 'altered to last an hour longer', terminal)
  const short = await linkFor(origin, headers, media, '1')
  await sleep(Math.max(0, Date.parse(short.expires_at) - Date.now()) + 100)
  expectRefusal(await call(short.stream_url), 'stream_link_expired', 'minted for one second, used after it', terminal)
}

function expectRefusal (answer: Answer, code: string, what: string, terminal: Terminal): void {
  if (answer.status !== 403 || codeOf(answer) !== code) {
    throw new DemoFailure(`a link ${what} was answered ${answer.status}, not 403 ${code}`)
  }
  terminal.good(`403  ${code.padEnd(20)} ${what}`)
}

function codeOf ({ bytes }: Answer): unknown {
  try {
    return (JSON.parse(bytes.toString()) as { code?: string }).code
  } catch {
    return undefined
  }
}
