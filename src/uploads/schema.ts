import { Type, type Static } from '@sinclair/typebox'
import { LectureFields } from '../courses/schema.js'
import { MediaTypeSchema, ProtectionSchema, Title, VisibilitySchema } from '../media/schema.js'
import { DateTime, Nullable, SingleLine, Uuid } from '../schemas/fields.js'
import type { ProblemCode } from '../schemas/problem-codes.js'
import { isoTime } from '../time.js'

const common = {
  filename: Type.Optional(SingleLine(255)),
  sha256: Type.Optional(
    Type.String({ pattern: '^[0-9a-f]{64}$', 'x-message': 'must be a SHA-256 in lower-case hex' })
  )
}

/** The metadata of an upload that becomes a media. Without `type`, the content of the file decides the type. */
export const MediaMetadata = Type.Object(
  {
    title: Title,
    type: Type.Optional(MediaTypeSchema),
    visibility: Type.Optional(VisibilitySchema),
    protection: Type.Optional(ProtectionSchema),
    ...common
  },
  { additionalProperties: false }
)

/** The metadata of an upload that becomes a lecture. */
export const LectureMetadata = Type.Object(
  { ...LectureFields.properties, ...common },
  { additionalProperties: false }
)

/** What an upload becomes. It is stored as JSON. */
export type UploadDescription =
  | ({ kind: 'media' } & Static<typeof MediaMetadata>)
  | ({ kind: 'lecture' } & Static<typeof LectureMetadata>)

/** A resumable upload. */
export interface Upload {
  id: string
  ownerId: string
  uploaderId: string
  draftName: string
  description: UploadDescription
  /** The metadata in the form in which the client sent it. */
  metadata: string | null
  sizeBytes: number
  /** The number of bytes that are on disk. */
  offsetBytes: number
  /** How often bytes were added. */
  parts: number
  /** The request that writes now. */
  holder: string | null
  isOpen: boolean
  mediaId: string | null
  error: { code: ProblemCode; detail: string } | null
  createdAt: number
  updatedAt: number
  expiresAt: number
}

/** Returns whether all bytes of an upload have arrived, and it has no result yet. */
export const isComplete = ({ isOpen, offsetBytes, sizeBytes }: Upload): boolean => isOpen && offsetBytes === sizeBytes

export const UploadReply = Type.Object({
  id: Uuid(),
  url: Type.String({ description: 'The path for HEAD, PATCH and DELETE.' }),
  title: Type.String(),
  filename: Nullable(Type.String()),
  course_id: Nullable(Type.String({ description: 'The course of a lecture.' })),
  size_bytes: Type.Integer(),
  offset_bytes: Type.Integer({ description: 'The number of bytes that are on disk.' }),
  created_at: DateTime(),
  updated_at: DateTime(),
  expires_at: DateTime()
})

export const pathOfUpload = (id: string): string => `/media/uploads/${id}`

/** Returns the API's representation of an open upload. */
export function uploadReply (upload: Upload): Static<typeof UploadReply> {
  const { description } = upload
  return {
    id: upload.id,
    url: pathOfUpload(upload.id),
    title: description.title,
    filename: description.filename ?? null,
    course_id: description.kind === 'lecture' ? description.course_id : null,
    size_bytes: upload.sizeBytes,
    offset_bytes: upload.offsetBytes,
    created_at: isoTime(upload.createdAt),
    updated_at: isoTime(upload.updatedAt),
    expires_at: isoTime(upload.expiresAt)
  }
}
