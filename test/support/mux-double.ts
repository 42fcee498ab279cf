import type Mux from '@mux/mux-node'
import { createHmac, createVerify, generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { settingsProblems } from './mux-double-settings.js'

type Upload = Mux.Video.Upload
type Asset = Mux.Video.Asset

/** What the double does to the next requests that fit, in place of answering them. */
export interface Fault {
  /** `METHOD /path`, as far as it goes. */
  request: RegExp
  /** How often; default once. */
  times?: number
  /** Answer this status, with Mux's error body… */
  status?: number
  messages?: string[]
  headers?: Record<string, string>
  /** …or never answer… */
  hang?: boolean
  /** …or, for a PUT, take this many bytes more and cut the connection… */
  cutAfterBytes?: number
  /** …or do it and then cut, so that the answer is lost. */
  loseAnswer?: boolean
}

interface Stored {
  upload: Upload
  size: number | undefined
  received: Buffer[]
  bytes: number
}

const KEPT_ERRORS: Record<number, string> = {
  400: 'invalid_parameters',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  429: 'too_many_requests'
}

/**
 * A stateful double of Mux: direct uploads by Google's resumable protocol, assets, signed webhooks, and playlists that
 * look at their token. It refuses what Mux refuses, and has all the troubles that Mux may have. Typed against the SDK;
 * docs/mux.md says what else it was compared with.
 */
export class MuxDouble {
  readonly credentials = { id: `token-${randomUUID()}`, secret: `secret-${randomUUID()}` }
  readonly webhookSecret = `whsec-${randomUUID()}`
  readonly signingKeyId = `key-${randomUUID()}`
  readonly drmConfigurationId = `drm-${randomUUID()}`
  readonly publicKey: KeyObject
  readonly #privateKey: KeyObject
  readonly uploads = new Map<string, Stored>()
  readonly assets = new Map<string, Asset>()
  readonly deleted: string[] = []
  /** Every request: `METHOD /path`. */
  readonly requests: string[] = []
  /** Every webhook that was made, sent or lost. */
  readonly events: Array<{ id: string; type: string; body: string }> = []
  /** Answers to those that were sent. */
  readonly deliveries: Array<{ type: string; status: number }> = []
  readonly faults: Fault[] = []
  /** Where webhooks go; undefined: all are lost. */
  webhookUrl: string | undefined
  /** Told of every request as it comes, and of every piece of a file: `RECEIVED <bytes so far>`. */
  onMoment: (what: string) => void = () => {}
  /** The time it signs webhooks with and looks at tokens by, in milliseconds. */
  now: () => number = Date.now
  /** Before each answer. */
  delayMs = 0
  /** Whether an asset is ready as soon as its file is there; else {@link finish} and {@link reject} end it. */
  instant = true
  /** Of every asset. */
  durationSeconds = 12.345
  #server: Server | undefined
  #port = 0
  readonly #pending = new Set<Promise<unknown>>()

  constructor () {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    this.publicKey = publicKey
    this.#privateKey = privateKey
  }

  get origin (): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** The variables of a server that uses it. */
  environment ({ drm = false } = {}): Record<string, string> {
    return {
      VIDEO_PROVIDER: 'mux',
      MUX_TOKEN_ID: this.credentials.id,
      MUX_TOKEN_SECRET: this.credentials.secret,
      MUX_SIGNING_KEY_ID: this.signingKeyId,
      MUX_PRIVATE_KEY: Buffer.from(this.#privateKey.export({ type: 'pkcs1', format: 'pem' }) as string).toString(
        'base64'
      ),
      MUX_WEBHOOK_SECRET: this.webhookSecret,
      MUX_BASE_URL: this.origin,
      ...(drm && { MUX_DRM_CONFIGURATION_ID: this.drmConfigurationId })
    }
  }

  /** Begins to listen; again on the same port after {@link stop}. */
  async start (): Promise<this> {
    this.#server = createServer((request, response) => {
      void this.#handle(request, response).catch(() => response.destroy())
    })
    await new Promise<void>((resolve) => this.#server!.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
    return this
  }

  /** Is down: every connection breaks. What it knows stays. */
  async stop (): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
    await Promise.all(this.#pending)
  }

  /** The bytes of an upload, as far as they have come. */
  bytesOf (uploadId: string): Buffer {
    return Buffer.concat(this.uploads.get(uploadId)!.received)
  }

  /** Ends the work on an asset. */
  finish (assetId: string): void {
    const asset = this.assets.get(assetId)!
    Object.assign(asset, {
      status: 'ready',
      duration: this.durationSeconds,
      progress: { state: 'completed', progress: 100 }
    })
    this.#tell('video.asset.ready', 'asset', asset)
  }

  /** Ends the work on an asset with an error. */
  reject (assetId: string, message: string): void {
    const asset = this.assets.get(assetId)!
    Object.assign(asset, {
      status: 'errored',
      errors: { type: 'invalid_input', messages: [message] },
      progress: { state: 'errored', progress: -1 }
    })
    this.#tell('video.asset.errored', 'asset', asset)
  }

  /** Ends an upload that waits. */
  endUpload (uploadId: string, status: 'timed_out' | 'cancelled' | 'errored', message?: string): void {
    const { upload } = this.uploads.get(uploadId)!
    upload.status = status
    if (status === 'timed_out') delete upload.url
    if (status === 'errored') upload.error = { type: 'invalid_input', message: message! }
    if (status === 'errored') this.#tell('video.upload.errored', 'upload', upload)
  }

  /** Headers and body of an event, as Mux signs it. */
  sign (body: string, atSeconds = Math.floor(this.now() / 1000), secret = this.webhookSecret): Record<string, string> {
    return {
      'content-type': 'application/json',
      'mux-signature': `t=${atSeconds},v1=${createHmac('sha256', secret).update(`${atSeconds}.${body}`).digest('hex')}`
    }
  }

  /** Sends an event, now or once more; returns the status. */
  async deliver ({ type, body }: { type: string; body: string }): Promise<number> {
    const answer = await fetch(this.webhookUrl!, { method: 'POST', headers: this.sign(body), body })
    await answer.arrayBuffer()
    this.deliveries.push({ type, status: answer.status })
    return answer.status
  }

  /** Resolves when all that was sent is answered. */
  async settled (): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  /** An event as Mux would send it, not yet sent. */
  event (type: string, kind: 'upload' | 'asset', data: Upload | Asset): { id: string; type: string; body: string } {
    const event: Mux.Webhooks.BaseWebhookEvent = {
      id: randomUUID(),
      type,
      created_at: new Date().toISOString(),
      object: { type: kind, id: data.id },
      environment: { id: 'environment', name: 'Production' },
      data: structuredClone(data) as unknown as Record<string, unknown>,
      attempts: []
    }
    return {
      id: event.id,
      type,
      body: JSON.stringify({ ...event, request_id: null, accessor: null, accessor_source: null })
    }
  }

  #tell (type: string, kind: 'upload' | 'asset', data: Upload | Asset): void {
    const event = this.event(type, kind, data)
    this.events.push(event)
    if (this.webhookUrl === undefined) return
    const sent = this.deliver(event)
      .catch(() => {})
      .finally(() => this.#pending.delete(sent))
    this.#pending.add(sent)
  }

  async #handle (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, this.origin)
    const line = `${request.method} ${pathname}`
    this.requests.push(line)
    this.onMoment(line)
    request.on('error', () => {})
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs))
    const fault = this.faults.find((one) => one.request.test(line) && (one.times ?? 1) > 0)
    if (fault !== undefined) {
      fault.times = (fault.times ?? 1) - 1
      if (fault.hang) return void request.resume()
      if (fault.status !== undefined) {
        request.resume()
        return refuse(response, fault.status, fault.messages ?? ['Something went wrong.'], fault.headers)
      }
      if (fault.loseAnswer) response.end = () => response.destroy() as ServerResponse
    }
    if (pathname.startsWith('/upload/')) {
      return await this.#receive(request, response, pathname.slice('/upload/'.length), fault?.cutAfterBytes)
    }
    if (pathname.startsWith('/stream/')) {
      return this.#stream(response, pathname.slice('/stream/'.length), searchParams.get('token') ?? '')
    }
    const expected = `Basic ${Buffer.from(`${this.credentials.id}:${this.credentials.secret}`).toString('base64')}`
    if (request.headers.authorization !== expected) {
      request.resume()
      return refuse(response, 401, ['Unauthorized request'])
    }
    const body = request.method === 'POST' ? await json(request).catch(() => undefined) : undefined
    request.resume()
    this.#api(request.method!, pathname, searchParams, body, response)
  }

  #api (method: string, path: string, query: URLSearchParams, body: unknown, response: ServerResponse): void {
    const [, kind = '', id = '', action] =
      /^\/(?:video|system)\/v1\/(uploads|assets|signing-keys)(?:\/([\w-]+)(?:\/(cancel))?)?$/.exec(path) ?? []
    const known =
      kind === 'uploads'
        ? this.uploads.get(id)?.upload
        : kind === 'assets'
          ? this.assets.get(id)
          : id === this.signingKeyId
            ? { id, created_at: '1700000000' }
            : undefined
    if (kind === 'uploads' && id === '' && method === 'POST') return this.#create(body, response)
    if (id === '' && method === 'GET' && kind !== '') {
      const all = kind === 'assets' ? [...this.assets.values()] : [...this.uploads.values()].map(({ upload }) => upload)
      return answer(response, 200, all.slice(0, Number(query.get('limit') ?? 25)))
    }
    if (known === undefined) {
      return refuse(response, 404, ["The requested resource either doesn't exist or you don't have access to it."])
    }
    if (method === 'GET') return answer(response, 200, known)
    if (kind === 'uploads' && action === 'cancel' && method === 'PUT') {
      if ((known as Upload).status !== 'waiting') return refuse(response, 403, ['Cancellation no longer possible'])
      Object.assign(known, { status: 'cancelled' })
      return answer(response, 200, known)
    }
    if (kind === 'assets' && method === 'DELETE') {
      this.assets.delete(id)
      this.deleted.push(id)
      this.#tell('video.asset.deleted', 'asset', known as Asset)
      response.writeHead(204).end()
      return
    }
    refuse(response, 404, ['Not found'])
  }

  #create (body: unknown, response: ServerResponse): void {
    const problems = settingsProblems(body, this.drmConfigurationId)
    if (problems.length > 0) return refuse(response, 400, problems)
    const {
      cors_origin: corsOrigin,
      new_asset_settings: settings,
      timeout = 3600
    } = body as Mux.Video.UploadCreateParams
    const id = randomUUID().replaceAll('-', '')
    const upload: Upload = {
      id,
      cors_origin: corsOrigin,
      status: 'waiting',
      timeout,
      url: `${this.origin}/upload/${id}?signature=${randomUUID()}`,
      ...(settings && { new_asset_settings: settings })
    }
    this.uploads.set(id, { upload, size: undefined, received: [], bytes: 0 })
    answer(response, 201, upload)
    this.#tell('video.upload.created', 'upload', upload)
  }

  /** Google Cloud Storage's resumable uploads: 308 and `Range` while something is missing. */
  async #receive (
    request: IncomingMessage,
    response: ServerResponse,
    id: string,
    cutAfterBytes: number | undefined
  ): Promise<void> {
    const stored = this.uploads.get(id)
    const fits =
      stored !== undefined &&
      new URL(request.url!, this.origin).search === new URL(stored.upload.url ?? this.origin).search
    if (!fits || ['cancelled', 'timed_out', 'errored'].includes(stored.upload.status)) {
      request.resume()
      response.writeHead(fits ? 410 : 404).end()
      return
    }
    const [, first, last, total] =
      /^bytes (?:(\d+)-(\d+)|\*)\/(\d+)$/.exec(request.headers['content-range'] ?? '') ?? []
    const size = Number(total ?? request.headers['content-length'])
    if (Number.isNaN(size) || (stored.size ?? size) !== size) return void response.writeHead(400).end()
    stored.size = size
    const start = first === undefined ? (total === undefined ? 0 : undefined) : Number(first)
    if (start !== undefined && start !== stored.bytes) {
      request.resume()
      return progress()
    }
    if (last !== undefined && Number(last) + 1 < size && (Number(last) + 1 - start!) % (256 * 1024) !== 0) {
      return void response.writeHead(400).end()
    }
    let left = cutAfterBytes ?? Infinity
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (start === undefined) continue
      const taken = chunk.subarray(0, left)
      left -= taken.length
      stored.received.push(taken)
      stored.bytes += taken.length
      this.onMoment(`RECEIVED ${stored.bytes}`)
      if (left <= 0) return void request.destroy()
    }
    if (stored.bytes < size) return progress()
    response.writeHead(200).end()
    if (stored.upload.status === 'waiting') this.#makeAsset(stored)

    function progress (): void {
      if (stored!.bytes >= size) response.writeHead(200).end()
      else response.writeHead(308, stored!.bytes > 0 ? { range: `bytes=0-${stored!.bytes - 1}` } : {}).end()
    }
  }

  #makeAsset ({ upload }: Stored): void {
    const settings = upload.new_asset_settings
    const wanted =
      settings?.advanced_playback_policies ??
      settings?.playback_policies?.map((policy) => ({ policy, drm_configuration_id: undefined })) ??
      []
    const asset: Asset = {
      id: randomUUID().replaceAll('-', ''),
      created_at: String(Math.floor(Date.now() / 1000)),
      status: 'preparing',
      progress: { state: 'ingesting', progress: 0 },
      encoding_tier: 'smart',
      master_access: 'none',
      max_resolution_tier: '1080p',
      ingest_type: 'on_demand_direct_upload',
      upload_id: upload.id,
      ...(settings?.passthrough !== undefined && { passthrough: settings.passthrough }),
      ...(settings?.video_quality !== undefined && { video_quality: settings.video_quality }),
      playback_ids: wanted.map(({ policy, drm_configuration_id: drm }) => ({
        id: randomUUID().replaceAll('-', ''),
        policy: policy!,
        ...(drm !== undefined && { drm_configuration_id: drm })
      }))
    }
    this.assets.set(asset.id, asset)
    Object.assign(upload, { status: 'asset_created', asset_id: asset.id })
    this.#tell('video.upload.asset_created', 'upload', upload)
    this.#tell('video.asset.created', 'asset', asset)
    if (this.instant) this.finish(asset.id)
  }

  /** What stream.mux.com does with a token. */
  #stream (response: ServerResponse, file: string, token: string): void {
    const playbackId = file.replace(/\.m3u8$/, '')
    const claims = readToken(token, this.publicKey)
    const asset = [...this.assets.values()].find(
      ({ playback_ids: ids, status }) => status === 'ready' && ids?.some(({ id }) => id === playbackId)
    )
    const opens =
      claims?.sub === playbackId &&
      claims.aud === 'v' &&
      claims.kid === this.signingKeyId &&
      Number(claims.exp) * 1000 > this.now()
    if (!opens) return refuse(response, 403, ['Not authorized'])
    if (asset === undefined) return refuse(response, 404, ['Not found'])
    response.writeHead(200, { 'content-type': 'application/x-mpegURL' }).end('#EXTM3U\n#EXT-X-VERSION:5\n')
  }
}

/** The claims of a token that the key has signed; undefined for others. */
export function readToken (token: string, publicKey: KeyObject): Record<string, unknown> | undefined {
  const [header = '', payload = '', signature = ''] = token.split('.')
  if (!createVerify('sha256').update(`${header}.${payload}`).verify(publicKey, signature, 'base64url')) return undefined
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
}

function answer (response: ServerResponse, status: number, data: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ data }))
}

function refuse (
  response: ServerResponse,
  status: number,
  messages: string[],
  headers: Record<string, string> = {}
): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify({ error: { type: KEPT_ERRORS[status] ?? 'internal', messages } }))
}
