import { spawnSync } from 'node:child_process'
import t from 'tap'

t.test('the runner ends badly when something failed (bug: it ended with 0, and .ci/run with it)', async (t) => {
  const { status, stdout } = spawnSync(process.execPath, ['dist/test/run.js', 'there-is-no-such-test'], {
    encoding: 'utf8'
  })
  t.equal(status, 1)
  t.match(stdout, /^0 passed, 1 failed: no test file is named there-is-no-such-test\n$/)
})
