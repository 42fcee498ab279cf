import { isIP } from 'node:net'
import { loadSecrets } from '../secrets/keyring.js'
import { eraseViewer } from '../views/viewer-erasure.js'
import { findViewerIds } from '../views/viewer-id-store.js'
import { UsageError, type Command } from './command.js'

export const erase: Command = {
  summary: 'erase the views of an address (an IPv6 address: of its /64) from the log; totals stay',
  usage: 'erase-viewer <address>',
  async run ({ config, db, operands: [address, ...more], onProgress }) {
    if (address === undefined || more.length > 0 || isIP(address) === 0) {
      throw new UsageError('erase-viewer needs one IPv4 or IPv6 address')
    }
    const viewerIds = await findViewerIds(db, () => loadSecrets(config).keyring('viewer-address'))
    const { media, rows } = await eraseViewer(db, viewerIds.keysOf(address), onProgress)
    return {
      ok: true,
      report: { media, rows },
      lines: [media === 0 ? 'No views from this address.' : `Erased the address in ${rows} log rows of ${media} media.`]
    }
  }
}
