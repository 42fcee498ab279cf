import { pruneViews } from '../views/view-maintenance.js'
import { fewestLogDays } from '../config/config.js'
import { UsageError, type Command } from './command.js'

export const prune: Command = {
  summary: 'delete the rows of the view log that are older than N days; totals stay',
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
        `--days must be ${fewest} or more: a link is valid for up to STREAM_TOKEN_MAX_SECONDS ` +
          `(${config.streamTokenMaxSeconds}), and counts a second view if the row of the first one is deleted`
      )
    }
    const deleted = await pruneViews(db, days, Date.now(), onProgress)
    return { ok: true, report: { deleted }, lines: [`${deleted} rows deleted.`] }
  }
}
