import { Type, type Static } from '@sinclair/typebox'
import { LectureFields } from '../courses/schema.js'
import { MediaTypeSchema, ProtectionSchema, Title, VisibilitySchema } from '../media/schema.js'
import { DateTime, Nullable, StringEnum, Uuid } from '../schemas/fields.js'
import { isoTime } from '../time.js'

const statuses = ['waiting', 'receiving', 'done', 'expired', 'revoked'] as const
export type GrantStatus = (typeof statuses)[number]

const HOUR_SECONDS = 3600
const WEEK_SECONDS = 7 * 24 * HOUR_SECONDS

const { title: _title, ...lectureFields } = LectureFields.properties

export const GrantBody = Type.Object(
  {
    title: Type.Optional(Title),
    type: Type.Optional(MediaTypeSchema),
    visibility: Type.Optional(VisibilitySchema),
    protection: Type.Optional(ProtectionSchema),
    ...Type.Partial(Type.Object(lectureFields)).properties,
    max_bytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Reserved in the quota until the grant ends. Default: the maximum size of a file.',
        examples: [1073741824]
      })
    ),
    expires_in: Type.Integer({
      minimum: 60,
      maximum: WEEK_SECONDS,
      default: HOUR_SECONDS,
      description: 'Seconds. An upload must start before that.'
    }),
    origin: Type.Optional(
      Type.String({
        maxLength: 256,
        pattern: '^https?://[A-Za-z0-9.:\\[\\]-]+$',
        'x-message': 'must be an origin, such as https://app.example.org',
        description: 'The only site whose pages may upload.',
        examples: ['https://app.example.org']
      })
    )
  },
  { additionalProperties: false }
)

/** What the file of a grant becomes. It is stored as JSON. */
export type GrantDescription =
  | ({ kind: 'media'; title: string } & Pick<Static<typeof GrantBody>, 'type' | 'visibility' | 'protection'>)
  | ({ kind: 'lecture' } & Static<typeof LectureFields>)

/** A grant to upload one file without an account. */
export interface UploadGrant {
  id: string
  accountId: string
  ownerId: string
  description: GrantDescription
  maxBytes: number
  origin: string | null
  createdAt: number
  expiresAt: number
  revokedAt: number | null
  leaseUntil: number
  mediaId: string | null
}

export const GrantReply = Type.Object({
  id: Uuid(),
  title: Type.String(),
  course_id: Nullable(Type.String()),
  max_bytes: Type.Integer(),
  origin: Nullable(Type.String()),
  status: StringEnum(statuses, { description: '`receiving`: an upload is in progress. `done`: see `media_id`.' }),
  media_id: Nullable(Uuid()),
  created_at: DateTime(),
  expires_at: DateTime()
})

export const NewGrantReply = Type.Object({
  ...GrantReply.properties,
  upload_url: Type.String({
    description: 'Send the file here, once, by PUT. Anyone who has this URL can do so. It is shown once.',
    examples: ['http://127.0.0.1:8000/granted-uploads/019377a4-3f00-7000-8000-000000000000.1764000000.…']
  })
})

/** The reply to the holder of a grant, who may have no account. */
export const GrantedUploadReply = Type.Object({
  media_id: Uuid(),
  size_bytes: Type.Integer(),
  sha256: Type.String()
})

/** Returns the status of a grant at a time in milliseconds. */
export function statusOf ({ mediaId, revokedAt, leaseUntil, expiresAt }: UploadGrant, now: number): GrantStatus {
  if (mediaId !== null) return 'done'
  if (revokedAt !== null) return 'revoked'
  if (leaseUntil > now) return 'receiving'
  return expiresAt <= now ? 'expired' : 'waiting'
}

/** Returns the API's representation of a grant for its maker. */
export function grantReply (grant: UploadGrant, now: number): Static<typeof GrantReply> {
  const { description } = grant
  return {
    id: grant.id,
    title: description.title,
    course_id: description.kind === 'lecture' ? description.course_id : null,
    max_bytes: grant.maxBytes,
    origin: grant.origin,
    status: statusOf(grant, now),
    media_id: grant.mediaId,
    created_at: isoTime(grant.createdAt),
    expires_at: isoTime(grant.expiresAt)
  }
}
