import { migrations } from '../../migrations/index.js'
import { migrate as migrateDatabase } from '../database/migrate.js'
import type { Command } from './command.js'

export const migrate: Command = {
  summary: 'migrate the database to the newest schema, as the start of a server does',
  usage: 'migrate',
  async run ({ db }) {
    const applied = await migrateDatabase(db, migrations)
    return {
      ok: true,
      report: { applied },
      lines: applied.length === 0 ? ['Nothing to do.'] : applied.map((name) => `applied ${name}`)
    }
  }
}
