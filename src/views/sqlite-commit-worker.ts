import { parentPort, workerData } from 'node:worker_threads'
import { openDatabase } from '../database/open.js'
import type { CommitReply, CommitRequest } from './sqlite-commit.js'
import { rehearseViews } from './rehearse-views.js'
import { insertViews } from './view-store.js'

const db = openDatabase({ engine: 'sqlite', path: workerData as string })

parentPort!.on('message', ({ id, batch }: CommitRequest) => {
  const commit = batch.length === 0 ? rehearseViews(db).then(() => []) : insertViews(db, batch)
  commit.then(
    (outcomes) => parentPort!.postMessage({ id, outcomes } satisfies CommitReply),
    ({ message, code }: Error & { code?: string }) =>
      parentPort!.postMessage({ id, error: { message, code } } satisfies CommitReply)
  )
})
