import { setTimeout as sleep } from 'node:timers/promises'
import { acquireInstanceLock } from '../database/instance-lock.js'
import { listOwnedBlobs } from '../media/media-store.js'
import { checkStorePairing, lostRowsFault, pairingFault, recordSweep } from '../media/store-pairing.js'
import type { StoredItem } from '../storage/blob-store.js'
import { openDiskStore } from '../storage/disk-store.js'
import { CONFIRM_AFTER_MS, Sweeper } from '../storage/sweep.js'
import { UsageError, type Command } from './command.js'
import { systemClock } from '../time.js'

const STEP_MS = 1000

export const sweep: Command = {
  summary: 'remove orphaned files that a crash left; checks twice, 15 minutes apart, unless no server runs',
  usage: 'sweep [--dry-run | --no-server-runs] [--remove-acknowledged]',
  options: { 'dry-run': 'boolean', 'no-server-runs': 'boolean', 'remove-acknowledged': 'boolean' },
  async run ({ config, db, options, onProgress }) {
    const store = await openDiskStore(config.uploadDir)
    const sweeper = new Sweeper({
      store,
      owned: (names) => listOwnedBlobs(db, names),
      clock: systemClock
    })
    const dryRun = options['dry-run'] === true
    const isOnlyInstance = options['no-server-runs'] === true
    const removeCommitted = options['remove-acknowledged'] === true
    if (isOnlyInstance && config.database.engine === 'sqlite' && !acquireInstanceLock(config.database.path)) {
      throw new UsageError('a server runs on this database: stop it, or run sweep without --no-server-runs')
    }
    const requirePaired = async () => {
      const pairing = dryRun ? await checkStorePairing(db, store) : await recordSweep(db, store)
      if (pairing !== 'paired') throw new UsageError(pairingFault(pairing))
    }
    await requirePaired()
    let outcome = await sweeper.sweep({ dryRun, isOnlyInstance, removeCommitted })
    if (!dryRun && !isOnlyInstance) {
      for (let waited = 0; waited <= CONFIRM_AFTER_MS; waited += STEP_MS) {
        onProgress(waited, CONFIRM_AFTER_MS)
        await sleep(STEP_MS)
      }
      await requirePaired()
      outcome = await sweeper.sweep({ removeCommitted })
    }
    const { removed, kept } = outcome
    return {
      ok: true,
      report: { removed: !dryRun, items: removed, acknowledged: kept },
      lines: [
        ...removed.map((item) => describe(dryRun ? 'orphaned' : 'removed', item)),
        `${removed.length} files ${dryRun ? 'are orphaned now' : 'removed'}.`,
        ...describeKept(kept)
      ]
    }
  }
}

const describe = (state: string, { kind, name, sizeBytes }: StoredItem): string =>
  `${state} ${kind} ${name} (${sizeBytes} bytes)`

function describeKept (kept: StoredItem[]): string[] {
  if (kept.length === 0) return []
  return [
    ...kept.map((item) => describe('acknowledged', item)),
    `${lostRowsFault(kept.length)}. They stay: run playgate doctor.`
  ]
}
