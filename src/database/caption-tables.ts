// Times and flags are integers, as tables.ts says.

/** Text tracks of media. They have their own table, because media are read far more often. */
export interface CaptionsTable {
  media_id: string
  /** A tag of BCP 47 in canonical form. */
  language: string
  kind: 'captions' | 'subtitles' | 'descriptions'
  label: string
  is_default: number
  cues: number
  /** SHA-256 of the text, in hex. */
  sha256: string
  created_at: number
  updated_at: number
  /** WebVTT, up to some 10 MB. */
  text: string
}

export interface ChaptersTable {
  media_id: string
  /** A JSON array of {@link Chapter} (src/captions/schema.ts). */
  list: string
}
