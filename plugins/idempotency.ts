import type { TObject } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Kysely } from 'kysely'
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Database } from '../src/database/tables.js'
import { ApiError } from '../src/errors.js'
import { Attempt, type Answer } from '../src/idempotency/attempt.js'
import { fingerprintOf, isSameRequest } from '../src/idempotency/fingerprint.js'
import { parseIdempotencyKey } from '../src/idempotency/idempotency-key.js'
import type { Finished, Idempotency } from '../src/idempotency/idempotency.js'
import type { FileSink, FormDefinition } from '../src/schemas/form.js'
import { addProblems } from '../src/schemas/problem.js'
import type { Form } from './multipart.js'

interface Options {
  idempotency: Idempotency
}

/** Creates a resource, and records its response by {@link Creation.created}; or returns the reason why it did not. */
type Work = (creation: Creation) => Promise<object | void>
type Outcome = Answer | { unchanged: object }

const JSON_TYPE = 'application/json; charset=utf-8'

/** Hashes the files of a repeated request, and stores nothing. */
const hashSink: FileSink<string> = { receive: hashOf, discard: async () => {}, digestOf: (digest) => digest }

/**
 * Runs requests that create something. A request with an `Idempotency-Key` runs once: a repeated request gets the
 * response of the first request, byte for byte.
 */
export default fp<Options>(
  async (app, { idempotency }) => {
    app.decorateReply('createOnce', async function (this: FastifyReply, work: Work) {
      const key = keyOf(this.request)
      const outcome =
        key === undefined
          ? await create(this, undefined, work)
          : await outcomeOf(this, await idempotency.begin({ accountId: this.request.requireViewer().id, key }), work)
      // A handler of a promise must wait until its response is sent.
      if ('unchanged' in outcome) await this.code(200).send(outcome.unchanged)
      else await this.code(201).header('location', outcome.location).type(JSON_TYPE).send(outcome.body)
    })
    app.addHook('onRoute', (route) => {
      if (route.config?.idempotent !== true) return
      route.schema = addProblems(
        route.schema,
        'idempotency_key_malformed',
        'idempotency_key_in_use',
        'idempotency_key_reused',
        'secret_key_missing'
      )
    })
  },
  { name: 'idempotency', dependencies: ['errors', 'auth', 'multipart'] }
)

/** The creation of one resource by one request. */
export class Creation {
  readonly #reply: FastifyReply
  readonly #attempt: Attempt | undefined
  #fingerprint: string | undefined
  #answer: Answer | undefined

  constructor (reply: FastifyReply, attempt: Attempt | undefined) {
    this.#reply = reply
    this.#attempt = attempt
  }

  get answer (): Answer | undefined {
    return this.#answer
  }

  /** The results that an interrupted earlier request recorded by {@link addPart}. */
  get parts (): readonly unknown[] {
    return this.#attempt?.parts ?? []
  }

  /** Receives the form of this request; see `receiveForm`. **Throws** also `idempotency_key_reused`. */
  async receiveForm<T extends TObject, F> (form: FormDefinition<T>, sink: FileSink<F>): Promise<Form<T, F>> {
    const { request } = this.#reply
    const received = await request.receiveForm(form, sink)
    try {
      this.#fingerprint = fingerprintOfForm(request, received, sink)
      this.#attempt?.check(this.#fingerprint)
      return received
    } catch (error) {
      await Promise.all(received.files.map((file) => sink.discard(file.received)))
      throw error
    }
  }

  /**
   * Records the response, in the transaction that creates the resource. For a batch, `trx` is undefined: its parts are
   * recorded in their transactions. Every creation must call it once.
   */
  async created (trx: Kysely<Database> | undefined, location: string, body: object): Promise<void> {
    const answer = { location, body: this.#reply.code(201).serialize(body) as string }
    await this.#attempt?.finish(trx, this.#requireFingerprint(), answer)
    this.#answer = answer
  }

  /** Records one result of a batch, in its transaction. An interrupted batch continues after it. */
  async addPart (trx: Kysely<Database>, part: object): Promise<void> {
    await this.#attempt?.addPart(trx, this.#requireFingerprint(), part)
  }

  #requireFingerprint (): string {
    this.#fingerprint ??= fingerprintOfJson(this.#reply.request)
    return this.#fingerprint
  }
}

/** Runs the first request of a key, or returns the response of the finished request. */
async function outcomeOf (reply: FastifyReply, begun: Attempt | Finished, work: Work): Promise<Outcome> {
  if (!(begun instanceof Attempt)) return await repeat(reply, begun)
  // If the database fails here, the lease ends by itself.
  const release = () =>
    begun.release().catch((err: unknown) => reply.log.warn({ err }, 'failed to release an idempotency key'))
  try {
    const outcome = await create(reply, begun, work)
    if ('unchanged' in outcome) await release()
    return outcome
  } catch (error) {
    await release()
    throw error
  } finally {
    begun.close()
  }
}

async function create (reply: FastifyReply, attempt: Attempt | undefined, work: Work): Promise<Outcome> {
  const creation = new Creation(reply, attempt)
  const unchanged = await work(creation)
  if (creation.answer !== undefined) return creation.answer
  if (unchanged === undefined) throw new Error('the work of a creation recorded no response')
  return { unchanged }
}

/** Returns the response of a finished request. **Throws** `idempotency_key_reused` if this request is another. */
async function repeat (reply: FastifyReply, { fingerprint, answer }: Finished): Promise<Answer> {
  const { request } = reply
  const form = request.routeOptions.config.form as FormDefinition<TObject> | undefined
  const own =
    form !== undefined && request.isMultipart()
      ? fingerprintOfForm(request, await request.receiveForm(form, hashSink), hashSink)
      : fingerprintOfJson(request)
  if (!isSameRequest(own, fingerprint)) throw new ApiError('idempotency_key_reused')
  reply.header('idempotency-replayed', 'true')
  return answer
}

function keyOf ({ headers }: FastifyRequest): string | undefined {
  const header = headers['idempotency-key']
  if (header === undefined) return undefined
  const key = parseIdempotencyKey([header].flat().join(','))
  if (key === undefined) throw new ApiError('idempotency_key_malformed')
  return key
}

const operationOf = ({ method, url }: FastifyRequest): string => `${method} ${url}`

function fingerprintOfJson (request: FastifyRequest): string {
  return fingerprintOf({ operation: operationOf(request), fields: request.body, files: [] })
}

function fingerprintOfForm<F> (
  request: FastifyRequest,
  { fields, files }: Form<TObject, F>,
  sink: FileSink<F>
): string {
  const digests = files.map(({ received }) => sink.digestOf(received))
  return fingerprintOf({ operation: operationOf(request), fields, files: digests })
}

async function hashOf (source: Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of source as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route creates something by `createOnce`, and accepts an `Idempotency-Key`. */
    idempotent?: true
  }
  interface FastifyReply {
    /**
     * Runs `work`, which creates a resource, and sends its response with status 201. If `work` created nothing, sends
     * what it returns with status 200. With an `Idempotency-Key`, a resource is created once for each account and key.
     * **Throws** `idempotency_key_malformed`, `idempotency_key_in_use`,
     * `idempotency_key_reused`, or the error of `work`, which leaves the key unused.
     */
    createOnce(work: (creation: Creation) => Promise<object | void>): Promise<void>
  }
}
