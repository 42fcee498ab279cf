import { pruneViews } from '../views/view-maintenance.js'
import { UsageError, type Command } from './command.js'

export const prune: Command = {
  summary: 'delete view log rows older than N whole days; no figure changes',
  usage: 'prune-views --days N',
  options: { days: 'string' },
  async run ({ db, options, onProgress }) {
    const days = Number(options.days)
    if (!Number.isInteger(days) || days < 1 || days > 100_000) throw new UsageError('prune-views needs --days, a whole number of 1 or more')
    const deleted = await pruneViews(db, days, Date.now(), onProgress)
    return { ok: true, report: { deleted }, lines: [`${deleted} rows deleted.`] }
  }
}
