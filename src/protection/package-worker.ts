import {
  ALL_FORMATS, BufferTarget, EncodedAudioPacketSource, EncodedPacketSink, EncodedVideoPacketSource, FilePathSource, HlsOutputFormat, Input,
  MpegTsOutputFormat, Output, PathedTarget, type InputAudioTrack, type InputVideoTrack
} from 'mediabunny'
import { createCipheriv } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import type { PackageMessage, PackageOrder } from './packager.js'
import { nameBothTracks } from './transport-stream.js'

/** HLS authoring practice (RFC 8216, section 6.2.1 leaves it open): long enough to be cheap, short enough to seek. */
const TARGET_SECONDS = 6
const PIECE_BYTES = 64 * 1024
const { path, contentKey, durationMs } = workerData as PackageOrder

/** Packets wait here until the other side took the last segment, so that memory does not grow with the file: mediabunny waits for no segment. */
let room = Promise.resolve()
let taken: () => void = () => {}
parentPort!.on('message', () => taken())

const say = (message: PackageMessage, transfer: ArrayBuffer[] = []) => parentPort!.postMessage(message, transfer)

/** AES-128-CBC with PKCS #7 padding; the IV is the media sequence number (RFC 8216, 4.3.2.4 and 5.2). In pieces: a whole copy more would show. */
function encrypt (segment: Uint8Array, sequence: number): Uint8Array<ArrayBuffer> {
  const iv = Buffer.alloc(16)
  iv.writeUInt32BE(sequence, 12)
  const cipher = createCipheriv('aes-128-cbc', contentKey, iv)
  const sealed = new Uint8Array(segment.length - segment.length % 16 + 16)
  let filled = 0
  const add = (piece: Uint8Array) => { sealed.set(piece, filled); filled += piece.length }
  for (let start = 0; start < segment.length; start += PIECE_BYTES) add(cipher.update(segment.subarray(start, start + PIECE_BYTES)))
  add(cipher.final())
  return sealed
}

async function main (): Promise<void> {
  const input = new Input({ source: new FilePathSource(path), formats: ALL_FORMATS })
  const video = await input.getPrimaryVideoTrack()
  const audio = await input.getPrimaryAudioTrack()
  const videoSource = video === null ? undefined : new EncodedVideoPacketSource('avc')
  const audioSource = audio === null ? undefined : new EncodedAudioPacketSource(audio.codec === 'mp3' ? 'mp3' : 'aac')
  if (videoSource === undefined && audioSource === undefined) throw new Error('no tracks')
  let seconds: number[] = []
  const format = new HlsOutputFormat({
    segmentFormat: new MpegTsOutputFormat(),
    targetDuration: TARGET_SECONDS,
    onSegment (target, { n }) {
      const plain = new Uint8Array((target as BufferTarget).buffer!)
      if (video !== null && audio !== null) nameBothTracks(plain, audio.codec === 'mp3' ? 'mp3' : 'aac')
      const sealed = encrypt(plain, n - 1)
      ;(target as BufferTarget).buffer = null
      room = new Promise((resolve) => { taken = resolve })
      say({ segment: sealed }, [sealed.buffer])
    },
    onPlaylist (text) { seconds = [...text.matchAll(/^#EXTINF:([\d.]+)/gm)].map(([, length]) => Number(length)) }
  })
  const output = new Output({ format, target: new PathedTarget('master.m3u8', () => new BufferTarget()) })
  if (videoSource !== undefined) output.addVideoTrack(videoSource)
  if (audioSource !== undefined) output.addAudioTrack(audioSource)
  await output.start()
  await Promise.all([video && videoSource && copy(video, videoSource), audio && audioSource && copy(audio, audioSource)])
  await output.finalize()
  say({ milliseconds: seconds.map((length) => Math.round(length * 1000)) })
}

/** Packets as they are, in decode order. The negative times of priming audio, and of B-frames before the first picture, are moved to 0. */
async function copy (track: InputVideoTrack | InputAudioTrack, source: EncodedVideoPacketSource | EncodedAudioPacketSource): Promise<void> {
  const decoderConfig = await track.getDecoderConfig()
  let first = true
  let reported = 0
  for await (const packet of new EncodedPacketSink(track).packets()) {
    const inTime = packet.timestamp < 0 ? packet.clone({ timestamp: 0 }) : packet
    await (source as EncodedVideoPacketSource).add(inTime, first ? { decoderConfig: decoderConfig as VideoDecoderConfig } : undefined)
    first = false
    await room
    const percent = durationMs === null ? 0 : Math.min(99, Math.floor(100_000 * packet.timestamp / durationMs))
    if (percent > reported) say({ percent: reported = percent })
  }
  source.close()
}

// What the system refuses (EMFILE, EIO on a network disk) is not the file's fault.
main().catch((error: Error & { code?: string }) => say({ failed: error.stack ?? error.message, system: /^E[A-Z]+$/.test(error.code ?? '') }))
