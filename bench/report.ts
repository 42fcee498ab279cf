import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { figureOf, unitOf, type Row } from './bench.js'
import { barsChart, targetsChart } from './charts.js'
import { agree, type Measured, type Outcome } from './compare.js'
import type { Results } from './results.js'
import { medianOf, spreadOf, type Spread } from './samples.js'

const PAGE = join('docs', 'performance.md')
const CHARTS = join('docs', 'performance')

/** Three digits that say something. */
export const short = (value: number): string =>
  value === 0 ? '0' : Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
const spread = ({ median, least, greatest }: Spread): string =>
  `${short(median)} (${short(least)} to ${short(greatest)})`
const target = ({ atMost, atLeast, by, baseline, figure }: Row, unit: string): string =>
  `${atMost === undefined ? '≥' : '≤'} ` +
  `${atMost ?? atLeast}${baseline !== undefined && by !== 'difference' ? ' ×' : ` ${unitOf(figure, unit)}`}`
const loadShare = (measured: Measured, side: string): number =>
  Math.round(100 * medianOf(measured.samples[side]!.map(({ loadCpuSeconds = 0, seconds }) => loadCpuSeconds / seconds)))

/** A row for the terminal. */
export function outcomeLines ({ row, subject, baseline, value, limit, met }: Outcome, measured: Measured): string[] {
  const sides = [
    [row.subject, subject],
    [row.baseline, baseline]
  ] as const
  return [
    `${row.what}, ${unitOf(row.figure, measured.unit)}`,
    ...sides.flatMap(([side, figures]) =>
      side === undefined || figures === undefined
        ? []
        : [
            `  ${side.padEnd(36)} ${spread(figures).padEnd(28)} load generator at ${loadShare(measured, side)} % of ` +
              'a core'
          ]
    ),
    `  ${baseline === undefined ? 'value' : row.by === 'difference' ? 'added' : 'ratio'} ${spread(value)}, target ` +
      `${target(row, measured.unit)}: ${met ? 'met' : 'MISSED'}`,
    ...(limit === undefined ? [] : [`  limit of this machine: ${spread(limit)} (${row.limit})`])
  ]
}

/** How a run compares with an earlier one: which values are not the same, by the spread of either. */
export function agreementLines (measured: Measured[], earlier: Results): string[] {
  const known = new Map(
    earlier.measured.flatMap(({ outcomes }) => outcomes).map(({ row, value }) => [labelOf(row), value])
  )
  const pairs = measured
    .flatMap(({ outcomes }) => outcomes)
    .flatMap(({ row, value }) => {
      const then = known.get(labelOf(row))
      return then === undefined ? [] : [{ label: labelOf(row), now: value, then }]
    })
  const others = pairs.filter(({ now, then }) => !agree(now, then))
  const { at, machine } = earlier
  return [
    `\nAgainst the results of ${at.slice(0, 16).replace('T', ' ')} UTC (${machine.cores} cores of ${machine.cpu}): ` +
      `${pairs.length - others.length} of ${pairs.length} values agree within their spread.`,
    ...others.map(({ label, now, then }) => `  ${label}: ${spread(now)} now, ${spread(then)} then`)
  ]
}

/** Writes the table and the charts of docs/performance.md, between its marks; the words around them are people's. */
export async function writeReport (results: Results): Promise<void> {
  await mkdir(CHARTS, { recursive: true })
  const outcomes = results.measured.flatMap((measured) => measured.outcomes)
  await writeFile(
    join(CHARTS, 'targets.svg'),
    targetsChart(
      outcomes.map(({ row, value, met }) => ({ label: labelOf(row), met, spread: shareOfTarget(row, value) }))
    )
  )
  for (const measured of results.measured) await writeFile(join(CHARTS, `${measured.bench}.svg`), chartOf(measured))
  const page = await readFile(PAGE, 'utf8')
  await writeFile(PAGE, between(between(page, 'table', tableOf(results)), 'machine', machineOf(results)))
}

/** A page with what stands between its marks of a name put again. */
function between (page: string, name: string, content: string): string {
  const [start, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->`]
  return page.slice(0, page.indexOf(start) + start.length) + content + '\n' + page.slice(page.indexOf(end))
}

const labelOf = ({ what, baseline, by }: Row): string =>
  baseline === undefined || by === 'difference' ? what : `${what} against ${baseline}`

/** How much of what the target allows was used: 1 is just met, above is missed, whichever way the target looks. */
function shareOfTarget ({ atMost, atLeast }: Row, { median, least, greatest }: Spread): Spread {
  return atMost === undefined
    ? { median: atLeast! / median, least: atLeast! / greatest, greatest: atLeast! / least }
    : { median: median / atMost, least: least / atMost, greatest: greatest / atMost }
}

function chartOf (measured: Measured): string {
  const [{ figure, what }] = measured.outcomes.map(({ row }) => row) as [Row]
  const bars = Object.entries(measured.samples).map(([label, samples]) => ({
    label,
    ours: !measured.outcomes.some(({ row }) => row.baseline === label),
    spread: spreadOf(samples.map((sample) => figureOf(sample, figure, measured.unit)))
  }))
  return barsChart({
    title: measured.outcomes.length === 1 ? what : measured.about,
    unit: unitOf(figure, measured.unit),
    less: figure !== 'rate',
    bars
  })
}

function tableOf ({ measured }: Results): string {
  const rows = measured.flatMap((one) =>
    one.outcomes.map(({ row, subject, baseline, value, limit, met }) => [
      row.what,
      unitOf(row.figure, one.unit),
      spread(subject),
      row.baseline === undefined ? '' : `${row.baseline}: ${spread(baseline!)}`,
      baseline === undefined
        ? ''
        : row.by === 'difference'
          ? `${value.median < 0 ? '' : '+ '}${spread(value)}`
          : `${spread(value)} ×`,
      target(row, one.unit),
      (met ? 'met' : `**missed**${row.why === undefined ? '' : `: ${row.why}`}`) +
        (limit === undefined ? '' : `; ${row.limit}: ${spread(limit)} ×`),
      `${loadShare(one, row.subject)} %`
    ])
  )
  const head = ['What', 'In', 'Playgate', 'Baseline', 'Ratio', 'Target', '', 'Load generator']
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function machineOf ({ at, length, machine, measured }: Results): string {
  const { cpu, cores, memoryGb, kernel, node, load, loadAtEnd, congestionControl } = machine
  const rounds = Math.max(
    ...measured.map(({ samples }) => Math.max(...Object.values(samples).map((side) => side.length)))
  )
  const busy =
    Math.max(load, loadAtEnd ?? 0) > cores
      ? ' The machine was busy with other work: trust the ratios, and not the times.'
      : ''
  return (
    `Measured ${at.slice(0, 16).replace('T', ' ')} UTC, ${length} form, up to ${rounds} rounds: ${cores} cores ` +
    `of ${cpu}, ${memoryGb} GB, Linux ` +
    `${kernel}${congestionControl === undefined ? '' : `, TCP with ${congestionControl.toUpperCase()}`}, Node ` +
    `${node}; load average ${load} before and ${loadAtEnd ?? load} after.${busy}`
  )
}
