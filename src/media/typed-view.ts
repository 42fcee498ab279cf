import type { FileView } from './file-view.js'

const FILE_TYPE = Buffer.from('\0\0\0\x10ftypisom\0\0\0\0', 'latin1')

/** Returns the same file behind a `ftyp` box, which mediabunny asks for. Only positions of samples change. */
export function withType (view: FileView): FileView {
  return {
    size: view.size + FILE_TYPE.length,
    read: (into, position) => {
      const typed = FILE_TYPE.copy(into, 0, Math.min(position, FILE_TYPE.length))
      // `readSync` refuses a position before the file, even for no bytes, from Node 24 on.
      if (typed === into.length) return typed
      return typed + view.read(into.subarray(typed), position + typed - FILE_TYPE.length)
    }
  }
}
