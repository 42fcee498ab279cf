import type { Test } from 'tap'

export type CleanUp = Pick<Test, 'teardown'>

/**
 * How long a run takes: `gate` is for a quick check of a change, `laptop` the default (below five minutes in all),
 * `full` for figures to publish.
 */
export type Length = 'gate' | 'laptop' | 'full'

/** Requests in a round: some tenths of a second of processor time. */
export const requestsOf = (length: Length): number => ({ gate: 4000, laptop: 4000, full: 30_000 })[length]

/**
 * What one round of one side was measured at. Processor time is user and system of the server's processes, all threads
 * included.
 */
export interface Sample {
  /** Things done: requests, gigabytes, starts. */
  units: number
  /** Wall time. */
  seconds: number
  cpuSeconds: number
  /** Processor time of the load generator. Well below `seconds`, it was not what held the server up. */
  loadCpuSeconds?: number
  p50Ms?: number
  p99Ms?: number
  /** Growth of the resident set. */
  memoryMb?: number
}

/** A figure of a sample that a row of the table is about. */
export type Figure = 'cpu' | 'rate' | 'p50' | 'p99' | 'memory' | 'seconds'

/** A row of the table: a figure of one side, compared with the same figure of another in the same round. */
export interface Row {
  what: string
  figure: Figure
  subject: string
  /** None: the figure itself is compared with the target. */
  baseline?: string
  /** Compared with the target: how many times the baseline, or how much more than it. */
  by?: 'ratio' | 'difference'
  /** One of these. */
  atMost?: number
  atLeast?: number
  /**
   * Why the target can't be met, where docs/performance.md shows it by a profile, and how many times it is missed by:
   * the gate starts there.
   */
  why?: string
  knownMiss?: number
  /** A side that shows in the same rounds what this machine allows: what the program under measure has no part in. */
  limit?: string
}

export interface Bench {
  name: string
  about: string
  /** What a unit is, for people: `GB` or `request`. */
  unit: string
  rows: Row[]
  /** In the short form that `.ci/run` holds a change against. */
  gated?: boolean
  /**
   * How often all of it is set up again, other benches between: by default 2, 3 in the full form, 1 in the gate. Two
   * processes of one program differ by a tenth, for as long as they live.
   */
  passes?: Partial<Record<Length, number>>
  /** Rounds of all sides in turn, over all passes: by default 5, 15 in the full form, 3 in the gate. */
  rounds?: Partial<Record<Length, number>>
  /** Rounds before in each pass, which are not counted: by default 2, by which V8 has compiled what is hot. */
  warmUp?: number
  /** Sets up what is measured; each side runs one round of itself. */
  open(t: CleanUp, length: Length): Promise<Record<string, () => Promise<Sample>>>
}

/**
 * The figure of a sample in its unit: seconds of processor time for each GB (µs for each of anything else), units a
 * second, milliseconds, MB.
 */
export function figureOf (sample: Sample, figure: Figure, unit: string): number {
  switch (figure) {
    case 'cpu':
      return (sample.cpuSeconds / sample.units) * (unit === 'GB' ? 1 : 1e6)
    case 'rate':
      return sample.units / sample.seconds
    case 'seconds':
      return sample.seconds / sample.units
    case 'p50':
      return sample.p50Ms!
    case 'p99':
      return sample.p99Ms!
    case 'memory':
      return sample.memoryMb!
  }
}

/** What {@link figureOf} counts in. */
export function unitOf (figure: Figure, unit: string): string {
  const units: Record<Figure, string> = {
    cpu: unit === 'GB' ? 'CPU s/GB' : `CPU µs/${unit}`,
    rate: `${unit}s/s`,
    seconds: 's',
    p50: 'ms (p50)',
    p99: 'ms (p99)',
    memory: 'MB'
  }
  return units[figure]
}
