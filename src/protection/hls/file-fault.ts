export type FileFaultKind = 'damaged' | 'unsupported' | 'inflated' | 'excessive'

/**
 * The file is at fault, so a retry does not help: it is damaged, of an unsupported kind, grew far beyond its size
 * (`inflated`), or needs more memory than one file may take (`excessive`).
 */
export class FileFault extends Error {
  readonly kind: FileFaultKind
  constructor (kind: FileFaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}
