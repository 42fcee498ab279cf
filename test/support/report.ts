import { inspect } from 'node:util'
import type { Parser, Result } from 'tap-parser'

export interface Count {
  passed: number
  failed: number
  skipped: number
}

/**
 * Prints one line per test file that tap ran, and below it each failed assertion and each skipped test. Returns the
 * count, which grows while tap runs: tests are the test points that stand directly in a file.
 */
export function createReport (parser: Parser, engine: string): Count {
  const count: Count = { passed: 0, failed: 0, skipped: 0 }
  let details: string[] = []
  let failedInFile = 0

  const follow = (points: Parser, depth: number) => {
    points.on('child', (child: Parser) => follow(child, depth + 1))
    points.on('comment', (text: string) => {
      if (process.env.TEST_LONG && text.startsWith('# figure: ')) details.push(text.trimEnd())
    })
    points.on('assert', (point: Result) => {
      const skipped = Boolean(point.skip || point.todo)
      if (depth > 0) details.push(...describe(point, skipped))
      if (skipped) count.skipped++
      else if (depth === 1) count[point.ok ? 'passed' : 'failed']++
      if (depth === 1 && !point.ok && !skipped) failedInFile++
      if (depth === 0) endFile(point)
    })
  }
  const endFile = (file: Result) => {
    // A process that ended badly failed, whatever its test points said.
    if (!file.ok && failedInFile === 0) {
      count.failed++
      details.push(...describe(file, false))
    }
    const name = file.name.replace(/^dist\/test\//, '').replace(/\.test\.js$/, '')
    const seconds = ((file.time ?? 0) / 1000).toFixed(1).padStart(6)
    console.log(`${file.ok ? 'ok    ' : 'FAILED'} ${engine.padEnd(8)} ${name.padEnd(44)} ${seconds} s`)
    for (const line of details) console.log(`  ${line}`)
    details = []
    failedInFile = 0
  }
  follow(parser, 0)
  return count
}

/** What was found and wanted of a failed assertion, or why a test was skipped; nothing for one that passed. */
function describe (point: Result, skipped: boolean): string[] {
  if (skipped) return [`skipped: ${point.fullname} # ${String(point.skip || point.todo)}`]
  if (point.ok) return []
  const { stack, diff, at, ...diagnostics } = (point.diag ?? {}) as Record<string, unknown>
  delete diagnostics.source
  const details = inspect(diagnostics, { breakLength: 120, depth: 6 })
  const text = [details, diff, stack].filter((part) => typeof part === 'string' && part !== '{}').join('\n')
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return [`not ok: ${point.fullname}`, ...lines.map((line) => `  ${line}`)]
}
