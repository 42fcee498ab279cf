import { verifyBackup } from '../backup/verify.js'
import { UsageError, backupWork, type Command } from './command.js'

export const verify: Command = {
  summary: 'read a whole backup, and name each file that is missing or damaged',
  usage: 'verify-backup <folder>',
  async run ({ config, operands, onProgress }) {
    const [folder] = operands
    if (folder === undefined) throw new UsageError('name the folder of the backup: playgate verify-backup <folder>')
    const { manifest, findings, unhashed } = await backupWork(verifyBackup(folder, config.searchPath, onProgress))
    return {
      ok: findings.length === 0,
      report: { created_at: manifest.createdAt, files: manifest.files.length, unhashed, findings },
      lines: [
        ...findings,
        `${manifest.files.length} files of ${manifest.createdAt}: ${findings.length} findings.`,
        ...(unhashed === 0 ? [] : [`${unhashed} files are linked and have no hash: only their sizes were compared.`])
      ]
    }
  }
}
