export type FileFaultKind = 'damaged' | 'unsupported' | 'inflated'

/** A file could not be made sense of, is of a kind that is not known here, or far more came of it than it is large: trying again does not help. */
export class FileFault extends Error {
  readonly kind: FileFaultKind
  constructor (kind: FileFaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}
