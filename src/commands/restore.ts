import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { restoreBackup } from '../backup/restore.js'
import type { Config } from '../config/config.js'
import { openDatabase } from '../database/open.js'
import { UsageError, backupWork, type Command, type CommandContext } from './command.js'
import { doctor } from './doctor.js'
import { recount } from './recount.js'

export const restore: Command = {
  summary: 'put a backup into an empty database and an empty UPLOAD_DIR, then run doctor and recount --dry-run',
  usage: 'restore <folder> [--into <empty folder>]',
  options: { into: 'string' },
  async run (context) {
    const { operands, options, onProgress } = context
    const [folder] = operands
    if (folder === undefined) throw new UsageError('name the folder of the backup: playgate restore <folder>')
    const config = targetOf(context.config, options.into as string | undefined)
    const restored = restoreBackup({ folder, target: config, onProgress })
    const { manifest, findings } = await backupWork(restored)
    const { ok, lines } = await check({ ...context, config, options: { 'dry-run': true } })
    return {
      ok: ok && findings.length === 0,
      report: { files: manifest.files.length, findings, checks: lines },
      lines: [
        ...findings,
        `${manifest.files.length} files of ${manifest.createdAt} are restored.`,
        ...adviceOf(config),
        ...lines
      ]
    }
  }
}

/** With `--into`, the files go into that folder, and so does a SQLite database. */
function targetOf (config: Config, into: string | undefined): Config {
  if (into === undefined) return config
  const database =
    config.database.engine === 'sqlite'
      ? { ...config.database, path: join(into, 'playgate.db') }
      : config.database
  return { ...config, dataDir: into, uploadDir: join(into, 'uploads'), database }
}

async function check (context: CommandContext): Promise<{ ok: boolean; lines: string[] }> {
  const db = openDatabase(context.config.database)
  try {
    const results = [await doctor.run({ ...context, db }), await recount.run({ ...context, db })]
    return { ok: results.every(({ ok }) => ok), lines: results.flatMap(({ lines }) => lines) }
  } finally {
    await db.destroy()
  }
}

/** A first start without the old secret would create another one, and end all links, tokens and protected streams. */
function adviceOf ({ dataDir, secretKey }: Config): string[] {
  const path = join(dataDir, 'secret.key')
  if (secretKey !== undefined || existsSync(path)) return []
  return [`The backup has no secret: before the first start, set SECRET_KEY, or put the old secret into ${path}.`]
}
