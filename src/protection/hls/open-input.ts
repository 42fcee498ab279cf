import { ALL_FORMATS, CustomSource, FilePathSource, Input, type Source } from 'mediabunny'
import { closeSync, openSync } from 'node:fs'
import { MiB } from '../../bytes.js'
import { viewOf, type FileView } from '../../media/file-view.js'
import { readIsoFacts } from '../../media/probe/iso-file.js'
import { withType } from '../../media/typed-view.js'
import { readEdits, type Edits } from './edits.js'
import type { TrackFacts } from '../../media/played-tracks.js'

/** Half of mediabunny's default, because a file is read only once, from start to end. */
const CACHE_BYTES = 4 * MiB

/** A file as mediabunny reads it, and what the boxes of an ISO file say about its tracks. */
export interface OpenInput {
  input: Input
  facts: TrackFacts | undefined
  edits: Edits
  close(): void
}

export function openInput (path: string): OpenInput {
  const file = openSync(path, 'r')
  try {
    const view = viewOf(file)
    const facts = readIsoFacts(view)
    const source = facts?.hasType === false ? sourceOf(withType(view)) : fileSource(path)
    const input = new Input({ source, formats: ALL_FORMATS })
    return { input, facts, edits: readEdits(view), close: () => closeSync(file) }
  } catch (error) {
    closeSync(file)
    throw error
  }
}

function fileSource (path: string): Source {
  return new FilePathSource(path, { maxCacheSize: CACHE_BYTES })
}

function sourceOf (view: FileView): Source {
  return new CustomSource({
    getSize: () => view.size,
    read: (start, end) => {
      const bytes = Buffer.alloc(end - start)
      return bytes.subarray(0, view.read(bytes, start))
    },
    maxCacheSize: CACHE_BYTES
  })
}
