import t, { type Test } from 'tap'
import { Parser } from 'tap-parser'
import { createReport } from '../../support/report.js'

/** The count and the printed lines for what tap writes. */
function report (t: Test, tap: string) {
  const printed = t.capture(console, 'log')
  const parser = new Parser()
  const count = createReport(parser, 'sqlite')
  parser.end(`TAP version 14\n${tap}`)
  return { count, lines: printed().map(({ args }) => String(args[0])) }
}

t.test('tests are the test points that stand directly in a file', async (t) => {
  const { count, lines } = report(
    t,
    `ok 1 - dist/test/unit/a/b.test.js # time=1234ms {
    ok 1 - outer {
        ok 1 - an assertion
        ok 2 - another
        1..2
    }
    ok 2 - an assertion directly in the file
    1..2
}
1..1
`
  )
  t.same(count, { passed: 2, failed: 0, skipped: 0 })
  t.match(lines, [/^ok {5}sqlite {3}unit\/a\/b +1\.2 s$/])
})

t.test('a failure is named with what was found, and counted once', async (t) => {
  const { count, lines } = report(
    t,
    `not ok 1 - dist/test/unit/a/b.test.js {
    not ok 1 - outer {
        not ok 1 - one is two
          ---
          found: 1
          wanted: 2
          ...
        1..1
    }
    ok 2 - fine
    1..2
}
1..1
`
  )
  t.same(count, { passed: 1, failed: 1, skipped: 0 })
  t.match(lines[0], /^FAILED sqlite/)
  t.match(lines.join('\n'), /not ok: .* > outer > one is two\n +\{ found: 1, wanted: 2 \}/)
})

t.test('a skipped test is named with its reason at any depth', async (t) => {
  const { count, lines } = report(
    t,
    `ok 1 - dist/test/unit/a/b.test.js {
    ok 1 - outer {
        ok 1 - inner # SKIP needs nginx
        1..1
    }
    ok 2 - away # SKIP needs Redis
    1..2
}
1..1
`
  )
  t.same(count, { passed: 1, failed: 0, skipped: 2 })
  t.match(lines.join('\n'), /skipped: .* > outer > inner # needs nginx\n.*away # needs Redis/)
})

t.test('a process that ended badly is a failure, whatever its tests said', async (t) => {
  const { count, lines } = report(
    t,
    `not ok 1 - dist/test/unit/a/b.test.js
  ---
  exitCode: 3
  ...
{
    ok 1 - fine
    1..1
}
1..1
`
  )
  t.same(count, { passed: 1, failed: 1, skipped: 0 })
  t.match(lines.join('\n'), 'exitCode: 3')
})
