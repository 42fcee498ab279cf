import { recountViews } from '../views/view-maintenance.js'
import type { Command } from './command.js'

export const recount: Command = {
  summary: 'make totals, uniques and days agree with the view log, for the days it still holds whole',
  usage: 'recount [--dry-run]',
  options: { 'dry-run': 'boolean' },
  async run ({ db, options, onProgress }) {
    const dryRun = options['dry-run'] === true
    const differences = await recountViews(db, { dryRun, onProgress })
    const lines = differences.map(
      (one) => `${one.media_id} ${one.what}: ${one.rolled_up} in the roll-ups, ${one.logged} in the log`
    )
    const end =
      differences.length === 0 ? 'No difference.' : `${differences.length} differences ${dryRun ? 'found' : 'fixed'}.`
    return { ok: !dryRun || differences.length === 0, report: { differences, fixed: !dryRun }, lines: [...lines, end] }
  }
}
