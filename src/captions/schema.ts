import { Type, type Static } from '@sinclair/typebox'
import { DateTime, SingleLine, StringEnum } from '../schemas/fields.js'
import { isoTime } from '../time.js'

const captionKinds = ['captions', 'subtitles', 'descriptions'] as const
export type CaptionKind = (typeof captionKinds)[number]
export type CaptionFormat = 'vtt' | 'srt'

/** A fault of a file. Line and column are from 1. */
export interface CaptionFault {
  line: number
  column: number
  message: string
}

/** The description of a text track. Its text is stored apart. */
export interface CaptionTrack {
  mediaId: string
  /** A tag of BCP 47 in canonical form. A media has one track for each language. */
  language: string
  kind: CaptionKind
  label: string
  isDefault: boolean
  /** The number of cues. */
  cues: number
  /** SHA-256 of the text, in hex. */
  sha256: string
  createdAt: number
  updatedAt: number
}

const Kind = StringEnum(captionKinds, {
  description: '`captions`: speech and sounds. `subtitles`: a translation. `descriptions`: what the picture shows.'
})
export const LanguageParams = Type.Object({
  id: Type.String({ examples: ['019377a4-3f00-7000-8000-000000000000'] }),
  lang: Type.String({ description: 'A language tag of BCP 47.', examples: ['en'] })
})
export const CaptionQuery = Type.Object({
  kind: Type.Optional(Kind),
  label: Type.Optional(
    SingleLine(100, { description: 'The name in the menu of a player. Default: the name of the language.' })
  ),
  default: Type.Optional(
    StringEnum(['true', 'false'], { description: '`true`: players show this track first. Default: `false`.' })
  )
})

export const CaptionReply = Type.Object({
  language: Type.String({ examples: ['en'] }),
  kind: Kind,
  label: Type.String({ examples: ['English'] }),
  default: Type.Boolean(),
  cues: Type.Integer({ description: 'The number of cues.' }),
  url: Type.String({
    description: 'The path of the file. Add the query string of a link, or send a token.',
    examples: ['/media/019377a4-3f00-7000-8000-000000000000/captions/en.vtt']
  }),
  created_at: DateTime(),
  updated_at: DateTime()
})

export function captionReply (track: CaptionTrack): Static<typeof CaptionReply> {
  return {
    language: track.language,
    kind: track.kind,
    label: track.label,
    default: track.isDefault,
    cues: track.cues,
    url: `/media/${track.mediaId}/captions/${track.language}.vtt`,
    created_at: isoTime(track.createdAt),
    updated_at: isoTime(track.updatedAt)
  }
}

/** A chapter. It ends where the next one starts. */
export interface Chapter {
  startMs: number
  title: string
}

const ChapterItem = Type.Object(
  {
    start_seconds: Type.Number({ minimum: 0, maximum: 1_000_000, examples: [0] }),
    title: SingleLine(200, { examples: ['Introduction'] })
  },
  { additionalProperties: false }
)
export const ChapterList = Type.Array(ChapterItem, { minItems: 1, maxItems: 500 })
export const ChapterReplies = Type.Array(ChapterItem)

export function chapterReplies (chapters: Chapter[]): Static<typeof ChapterReplies> {
  return chapters.map(({ startMs, title }) => ({ start_seconds: startMs / 1000, title }))
}
