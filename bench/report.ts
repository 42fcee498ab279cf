import { unitOf } from './bench.js'
import type { Measured, Outcome } from './compare.js'
import { medianOf, type Spread } from './samples.js'

const number = (value: number): string => value === 0 ? '0' : value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
const spread = ({ median, least, greatest }: Spread): string => `${number(median)} (${number(least)} to ${number(greatest)})`

export function outcomeLines ({ row, subject, baseline, value, met }: Outcome, { unit, samples }: Measured): string[] {
  const share = (side: string) => medianOf(samples[side]!.map(({ loadCpuSeconds = 0, seconds }) => loadCpuSeconds / seconds))
  const lines = [`${row.what}, ${unitOf(row.figure, unit)}`]
  for (const [side, figures] of [[row.subject, subject], [row.baseline, baseline]] as const) {
    if (side !== undefined && figures !== undefined) lines.push(`  ${side.padEnd(36)} ${spread(figures).padEnd(28)} load generator at ${Math.round(share(side) * 100)} % of a core`)
  }
  const target = row.atMost === undefined ? `at least ${row.atLeast}` : `at most ${row.atMost}`
  lines.push(`  ${baseline === undefined ? 'value' : row.by === 'difference' ? 'added' : 'ratio'} ${spread(value)}, target ${target}: ${met ? 'met' : 'MISSED'}`)
  return lines
}
