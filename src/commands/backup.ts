import { backUp } from '../backup/backup.js'
import { openDiskStore } from '../storage/disk-store.js'
import { UsageError, backupWork, type Command } from './command.js'

export const backup: Command = {
  summary: 'copy database and files into a new folder while the server runs; --link links files of the same disk',
  usage: 'backup <folder> [--link] [--with-secret]',
  options: { link: 'boolean', 'with-secret': 'boolean' },
  async run ({ config, db, options, operands, onProgress }) {
    const [folder] = operands
    if (folder === undefined) throw new UsageError('name the folder of the backup: playgate backup <folder>')
    const blobs = await openDiskStore(config.uploadDir)
    const withSecret = options['with-secret'] === true
    const { manifest, findings } = await backupWork(
      backUp({ config, db, blobs, folder, link: options.link === true, withSecret, onProgress })
    )
    const bytes = manifest.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    return {
      ok: findings.length === 0,
      report: { folder, files: manifest.files.length, bytes, with_secret: withSecret, findings },
      lines: [
        ...findings,
        `${manifest.files.length} files (${bytes} bytes) and the database are in ${folder}.`,
        ...(withSecret ? [] : ['The secret is not: keep SECRET_KEY, or DATA_DIR/secret.key, in another place.'])
      ]
    }
  }
}
