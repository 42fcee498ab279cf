import type { Spread } from './samples.js'

// SVG by hand: a chart is a few rectangles, and needs no library. Colours follow the reader's scheme.

const STYLE = `<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2933 }
  .title { font-size: 16px; font-weight: 600 } .note { fill: #616e7c } .axis { stroke: #cbd2d9 }
  .goal { stroke: #1f2933; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .ours { fill: #2f6fde } .theirs { fill: #b8c2cc } .met { fill: #2b8a5f } .missed { fill: #c2410c }
  .whisker { stroke: #1f2933; stroke-width: 1.5; opacity: .55 }
  .good { fill: #2b8a5f; opacity: .08 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .note { fill: #9aa5b1 } .axis { stroke: #3e4c59 } .goal, .whisker { stroke: #e4e7eb }
    .theirs { fill: #616e7c } .ours { fill: #6ea0ff } .met { fill: #4cc38a } .missed { fill: #ff8b5e }
  }
</style>`
const ROW = 30
const WIDTH = 900
const LABELS = 450
const VALUES = 110

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
const figure = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)))
const text = (x: number, y: number, content: string, attributes = ''): string =>
  `<text x="${Math.round(x)}" y="${Math.round(y)}" ${attributes}>${escape(content)}</text>`
const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" class="${kind}"/>`

function svg (height: number, title: string, parts: string[]): string {
  const size = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escape(title)}">
${STYLE}
${parts.join('\n')}
</svg>
`
}

export interface Bar {
  label: string
  ours: boolean
  spread: Spread
}

/** Bars of one figure, medians with the least and the greatest round. */
export function barsChart ({
  title,
  unit,
  less,
  bars
}: {
  title: string
  unit: string
  less: boolean
  bars: Bar[]
}): string {
  const most = Math.max(...bars.map(({ spread }) => spread.greatest), Number.MIN_VALUE)
  const width = WIDTH - LABELS - VALUES
  const x = (value: number) => LABELS + (value / most) * width
  const rows = bars.map(({ label, ours, spread }, index) => {
    const y = 70 + index * ROW
    return [
      text(LABELS - 10, y + 14, label, 'text-anchor="end"'),
      `<rect x="${LABELS}" y="${y}" width="${(x(spread.median) - LABELS).toFixed(1)}" height="20" rx="3" ` +
        `class="${ours ? 'ours' : 'theirs'}"/>`,
      line(x(spread.least), y + 10, x(spread.greatest), y + 10, 'whisker'),
      text(x(spread.greatest) + 8, y + 14, figure(spread.median), 'font-weight="600"')
    ].join('')
  })
  return svg(80 + bars.length * ROW, title, [
    text(16, 26, title, 'class="title"'),
    text(
      16,
      48,
      `${unit}; ${less ? 'less' : 'more'} is better. Lines: the least and the greatest round.`,
      'class="note"'
    ),
    ...rows
  ])
}

export interface Goal {
  label: string
  met: boolean
  spread: Spread
}

/** How much of each target was used, on a logarithmic scale: left of the line it is met. */
export function targetsChart (goals: Goal[]): string {
  const title = 'How near to each target'
  const [least, most] = [0.1, 8]
  const width = WIDTH - LABELS - 70
  const x = (share: number) =>
    LABELS + (Math.log(Math.min(most, Math.max(least, share)) / least) / Math.log(most / least)) * width
  const bottom = 70 + goals.length * ROW
  const ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8].map(
    (tick) =>
      line(x(tick), 60, x(tick), bottom, tick === 1 ? 'goal' : 'axis') +
      text(
        x(tick),
        bottom + 18,
        tick === 1 ? 'target' : tick < 1 ? `1/${1 / tick}` : `${tick} ×`,
        'text-anchor="middle" class="note"'
      )
  )
  const rows = goals.map(({ label, met, spread }, index) => {
    const y = 70 + index * ROW + 10
    return [
      text(
        LABELS - 10,
        y + 4,
        label.length > 70 ? `${label.slice(0, 69)}…` : label,
        'text-anchor="end" style="font-size:12px"'
      ),
      line(x(spread.least), y, x(spread.greatest), y, 'whisker'),
      `<circle cx="${x(spread.median).toFixed(1)}" cy="${y}" r="6" class="${met ? 'met' : 'missed'}"/>`
    ].join('')
  })
  return svg(bottom + 34, title, [
    text(16, 26, title, 'class="title"'),
    text(
      16,
      48,
      'What was measured as a share of what its target allows: left of the line is met. Lines: the best and the ' +
        'worst round.',
      'class="note"'
    ),
    `<rect x="${LABELS}" y="60" width="${(x(1) - LABELS).toFixed(1)}" height="${bottom - 60}" class="good"/>`,
    ...ticks,
    ...rows
  ])
}
