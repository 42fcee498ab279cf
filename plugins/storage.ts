import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { checkStorePairing, pairingFault } from '../src/media/store-pairing.js'
import type { BlobStore } from '../src/storage/blob-store.js'
import { openDiskStore } from '../src/storage/disk-store.js'

interface Options {
  config: Pick<Config, 'uploadDir'>
}

/** Opens the blob store. Logs an error if the store does not belong to the database. */
export default fp<Options>(
  async (app, { config: { uploadDir } }) => {
    const blobs = await openDiskStore(uploadDir, (error) =>
      app.log.warn(
        { err: error },
        'failed to mark a file as committed: if the database loses its row, the sweep removes the file; use a file ' +
          'system with modes, and make the server the owner of UPLOAD_DIR'
      )
    )
    app.addHook('onClose', () => blobs.close())
    const pairing = await checkStorePairing(app.db, blobs)
    if (pairing !== 'paired') app.log.error({ upload_dir: uploadDir }, pairingFault(pairing))
    app.decorate('blobs', blobs)
  },
  { name: 'storage', dependencies: ['database'] }
)

declare module 'fastify' {
  interface FastifyInstance {
    readonly blobs: BlobStore
  }
}
