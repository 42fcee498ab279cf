import { pruneViews } from '../views/view-maintenance.js'
import { fewestLogDays } from '../config/config.js'
import { UsageError, type Command } from './command.js'

export const prune: Command = {
  summary: 'delete view log rows older than N whole days; no figure changes',
  usage: 'prune-views --days N',
  options: { days: 'string' },
  async run ({ config, db, options, onProgress }) {
    const days = Number(options.days)
    const fewest = fewestLogDays(config.streamTokenMaxSeconds)
    if (!Number.isInteger(days) || days < 1 || days > 100_000) {
      throw new UsageError(`prune-views needs --days, a whole number of ${fewest} or more`)
    }
    if (days < fewest) {
      throw new UsageError(
        `--days must be ${fewest} or more: a link lives up to STREAM_TOKEN_MAX_SECONDS ` +
          `(${config.streamTokenMaxSeconds}), and its view would be counted again if the row went while it lives`
      )
    }
    const deleted = await pruneViews(db, days, Date.now(), onProgress)
    return { ok: true, report: { deleted }, lines: [`${deleted} rows deleted.`] }
  }
}
