import type { TranscodePlan } from './transcode-plan.js'

export type FileFaultKind =
  | 'damaged'
  | 'empty'
  | 'unsupported'
  | 'turned'
  | 'stretched'
  | 'edited'
  | 'inflated'
  | 'excessive'

/**
 * A fault of the file, so a retry does not help. The file is damaged, or its kind is unsupported. `empty`: it has no
 * picture and no sound. `turned`, `stretched`: a player turns or stretches its pictures. `edited`: its edit needs new
 * key frames. `inflated`: its output is far larger than the file. `excessive`: it needs more memory or time than one
 * file may use. `plan`: how ffmpeg makes the file packageable, if its tracks are known.
 */
export class FileFault extends Error {
  readonly kind: FileFaultKind
  readonly plan: TranscodePlan | undefined
  constructor (kind: FileFaultKind, message: string, plan?: TranscodePlan) {
    super(message)
    this.kind = kind
    this.plan = plan
  }
}
