export type FileFaultKind = 'damaged' | 'unsupported' | 'inflated' | 'excessive'

/**
 * A fault of the file, so a retry does not help. The file is damaged, or its kind is unsupported. `inflated`: its
 * output is far larger than the file. `excessive`: it needs more memory than one file may use.
 */
export class FileFault extends Error {
  readonly kind: FileFaultKind
  constructor (kind: FileFaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}
