import { spawnSync } from 'node:child_process'
import t from 'tap'

// The gate said that it had failed, and ended with 0: `.ci/run` took it for passed.
t.test('the exit status of the bench is its own', async (t) => {
  const { status, stdout } = spawnSync(process.execPath, ['dist/bench/run.js', 'no-such-bench'], { encoding: 'latin1' })
  t.equal(status, 2)
  t.match(stdout, 'npm run bench --', 'it says how it is called')
})
