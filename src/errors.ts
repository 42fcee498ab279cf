import { problems, type ProblemCode } from './schemas/problem-codes.js'

/** One invalid field: `path` in dotted form as the client sent it, and the reason. */
export interface FieldError {
  path: string
  message: string
  /** The place in a text file, from 1. */
  line?: number
  column?: number
}

export interface ApiErrorOptions {
  /** Replaces the registry's sentence; never internal text. */
  detail?: string
  errors?: FieldError[]
  /** Members beside the standard ones of RFC 9457. */
  extra?: Record<string, unknown>
  headers?: Record<string, string>
  /** Replaces the registry's status: an upload that failed is gone (410), with the code of its failure. */
  statusCode?: number
  cause?: unknown
}

/** The one error type that routes and rules throw: a code of the registry, with the details of this case. */
export class ApiError extends Error {
  readonly code: ProblemCode
  readonly statusCode: number
  readonly options: ApiErrorOptions

  constructor (code: ProblemCode, options: ApiErrorOptions = {}) {
    super(options.detail ?? problems[code].detail, { cause: options.cause })
    this.name = 'ApiError'
    this.code = code
    this.statusCode = options.statusCode ?? problems[code].status
    this.options = options
  }

  /** One sentence for people, with the fields at fault. */
  get summary (): string {
    const { errors } = this.options
    return errors === undefined ? this.message : errors.map(({ path, message }) => `${path} ${message}`).join('; ')
  }
}

/** Why a server does not start, in one sentence for its operator. */
export class StartupError extends Error {}

/** A media that does not exist, or that the caller may not see. Older clients read this `detail`. */
export function mediaNotFound (): ApiError {
  return new ApiError('not_found', { detail: 'Media not found' })
}

/** The database file is damaged: no retry helps. */
export function databaseDamaged (cause?: unknown): ApiError {
  return new ApiError('database_unavailable', {
    detail: 'The database is damaged: an operator must restore a backup.',
    cause
  })
}

/** A 422 about one field. */
export function invalidField (path: string, message: string): ApiError {
  return new ApiError('validation_failed', { errors: [{ path, message }] })
}
