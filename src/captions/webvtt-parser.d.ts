/** A CommonJS module. */
declare module 'webvtt-parser' {
  export interface VttError {
    message: string
    /** From 1. */
    line: number
    /** From 1. Undefined if the whole line is at fault. */
    col: number | undefined
  }

  interface VttParser {
    parse (input: string, mode: 'metadata' | 'subtitles/captions/descriptions'): { cues: object[]; errors: VttError[] }
  }

  const library: { WebVTTParser: new () => VttParser }
  export default library
}
