import { figureOf, type Bench, type Length, type Row, type Sample } from './bench.js'
import { withCleanUp } from './environment.js'
import { spreadOf, type Spread } from './samples.js'

/**
 * A row as it was measured. `value` is what is compared with the target: the median over rounds of the ratio, the
 * difference, or the figure; `limit` is the same of the row's limit.
 */
export interface Outcome {
  bench: string
  row: Row
  subject: Spread
  baseline: Spread | undefined
  value: Spread
  limit?: Spread
  met: boolean
}

/** All that a bench measured: by side, its samples in the order of rounds. */
export interface Measured {
  bench: string
  unit: string
  about: string
  samples: Record<string, Sample[]>
  outcomes: Outcome[]
}

const WARM_UP = 2
const PASSES: Record<Length, number> = { gate: 1, laptop: 2, full: 3 }
const ROUNDS: Record<Length, number> = { gate: 3, laptop: 5, full: 15 }

/** How often a bench is set up again. */
export const passesOf = ({ passes }: Bench, length: Length): number => passes?.[length] ?? PASSES[length]

/**
 * One pass: runs all sides in turn, so that whatever else the machine does falls on each of them; the first ones,
 * uncounted, warm up. Adds to what passes before measured.
 */
export async function measure (bench: Bench, length: Length, pass: number, before?: Measured): Promise<Measured> {
  const samples: Record<string, Sample[]> = { ...before?.samples }
  const done = Object.values(samples)[0]?.length ?? 0
  const rounds = Math.ceil(((bench.rounds?.[length] ?? ROUNDS[length]) - done) / (passesOf(bench, length) - pass + 1))
  await withCleanUp(async (t) => {
    const sides = Object.entries(await bench.open(t, length))
    for (let round = 1 - (bench.warmUp ?? WARM_UP); round <= rounds; round++) {
      for (const [name, run] of sides) {
        const sample = await run()
        if (round > 0) samples[name] = [...(samples[name] ?? []), sample]
      }
    }
  })
  return {
    bench: bench.name,
    unit: bench.unit,
    about: bench.about,
    samples,
    outcomes: bench.rows.map((row) => outcomeOf(bench, row, samples))
  }
}

function outcomeOf ({ name, unit }: Bench, row: Row, samples: Record<string, Sample[]>): Outcome {
  const figures = (side: string) => samples[side]!.map((sample) => figureOf(sample, row.figure, unit))
  const baseline = row.baseline === undefined ? undefined : figures(row.baseline)
  const held = (side: string) =>
    spreadOf(
      baseline === undefined
        ? figures(side)
        : figures(side).map((figure, round) =>
          row.by === 'difference' ? figure - baseline[round]! : figure / baseline[round]!
        )
    )
  const value = held(row.subject)
  return {
    bench: name,
    row,
    subject: spreadOf(figures(row.subject)),
    baseline: baseline && spreadOf(baseline),
    value,
    ...(row.limit === undefined ? {} : { limit: held(row.limit) }),
    met: isMet(row, value.median)
  }
}

/** Whether a value is within the target of a row, or, with a `slack` above 1, this many times worse. */
export function isMet ({ atMost, atLeast }: Row, value: number, slack = 1): boolean {
  return atMost === undefined ? value >= atLeast! / slack : value <= atMost * slack
}

/** Whether the median of one run lies within the spread of another, either way round: then both measured the same. */
export function agree (one: Spread, other: Spread): boolean {
  const within = ({ median }: Spread, { least, greatest }: Spread) => median >= least && median <= greatest
  return within(one, other) || within(other, one)
}
