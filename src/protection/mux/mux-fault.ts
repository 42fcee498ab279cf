import { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from '@mux/mux-node'
import { SECOND } from '../../time.js'

interface FaultOptions {
  /** The code with which the media fails. If it is set, a retry does not help. */
  code?: string
  /** The delay that Mux requested. */
  retryAfterMs?: number
}

/**
 * A failure of Mux. Its message is one sentence for people. The message contains neither a URL nor a secret, so it may
 * be logged and shown.
 */
export class MuxFault extends Error {
  readonly code: string | undefined
  readonly retryAfterMs: number
  constructor (message: string, { code, retryAfterMs = 0 }: FaultOptions = {}) {
    super(message)
    this.code = code
    this.retryAfterMs = retryAfterMs
  }
}

/**
 * Converts an error of a request to Mux to a {@link MuxFault}. Errors of the SDK are not passed on, because they
 * contain whole responses.
 */
export function faultOf (error: unknown): MuxFault {
  if (error instanceof MuxFault) return error
  if (error instanceof APIConnectionTimeoutError || error instanceof APIUserAbortError || isTimeout(error)) {
    return new MuxFault('Mux did not respond in time.')
  }
  if (error instanceof APIConnectionError) return new MuxFault(`The server could not reach Mux${causeOf(error.cause)}.`)
  if (error instanceof APIError && error.status !== undefined) {
    return refusal(error.status, messagesOf(error.error), error.headers?.get('retry-after'))
  }
  return new MuxFault(`The request to Mux failed${causeOf(error)}.`)
}

/** Returns the fault for an error status of the API or of an upload. */
export function refusal (status: number, messages: string, retryAfter?: string | null): MuxFault {
  const said = messages === '' ? '' : `: ${messages}`
  if (status === 401 || status === 403) {
    return new MuxFault(
      `Mux does not accept this server's credentials (${status})${said}. An administrator must check ` +
        'MUX_TOKEN_ID and MUX_TOKEN_SECRET.'
    )
  }
  if (status === 429) {
    return new MuxFault('Mux received too many requests (429).', {
      retryAfterMs: Math.max(0, Number(retryAfter ?? 0) || 0) * SECOND
    })
  }
  if (status === 408 || status === 409 || status >= 500) {
    return new MuxFault(`Mux failed (${status})${said}.`, {
      retryAfterMs: Math.max(0, Number(retryAfter ?? 0) || 0) * SECOND
    })
  }
  return new MuxFault(`Mux refused the media (${status})${said}.`, { code: 'provider_refused' })
}

export function isNotFound (error: unknown): boolean {
  return error instanceof APIError && error.status === 404
}

/** Returns whether Mux refused to cancel an upload, because the upload is no longer waiting. */
export function isTooLate (error: unknown): boolean {
  return error instanceof APIError && (error.status === 403 || error.status === 404)
}

/** Returns the messages of an error of Mux: `{"error": {"type", "messages": []}}`. */
function messagesOf (body: unknown): string {
  const { messages } = (body as { error?: { messages?: unknown } } | undefined)?.error ?? {}
  return Array.isArray(messages) ? sentence(messages) : ''
}

/** Joins messages of Mux into one line of at most 500 characters, without a final full stop. */
export function sentence (messages: unknown[]): string {
  return messages
    .filter((message) => typeof message === 'string')
    .join(' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, 500)
    .replace(/\.$/, '')
}

function isTimeout (error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')
}

/** Returns the system's code of a failure (ECONNREFUSED). Messages are not used, because they may contain addresses. */
function causeOf (error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as { code?: unknown }
    if (typeof code === 'string') return ` (${code})`
  }
  return ''
}
