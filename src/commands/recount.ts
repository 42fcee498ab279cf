import { recountViews } from '../views/view-maintenance.js'
import type { Command } from './command.js'

export const recount: Command = {
  summary: 'correct the roll-ups from the view log, for the days that the log still has completely',
  usage: 'recount [--dry-run]',
  options: { 'dry-run': 'boolean' },
  async run ({ db, options, onProgress }) {
    const dryRun = options['dry-run'] === true
    const differences = await recountViews(db, { dryRun, onProgress })
    const lines = differences.map(
      (one) => `${one.media_id} ${one.what}: ${one.rolled_up} in the roll-ups, ${one.logged} in the log`
    )
    const end =
      differences.length === 0 ? 'No differences.' : `${differences.length} differences ${dryRun ? 'found' : 'fixed'}.`
    return { ok: !dryRun || differences.length === 0, report: { differences, fixed: !dryRun }, lines: [...lines, end] }
  }
}
