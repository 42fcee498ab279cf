import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { KeyAgreement } from '../src/secrets/key-agreement.js'
import { loadSecrets, type Secrets } from '../src/secrets/keyring.js'

interface Options {
  config: Pick<Config, 'secretKey' | 'secretKeysPrevious' | 'dataDir'>
}

/** Loads the secrets. Announces their keys to the other processes until the server closes. */
export default fp<Options>(
  async (app, { config }) => {
    const secrets = loadSecrets(config)
    const keyAgreement = new KeyAgreement({
      db: app.db,
      keys: secrets.keyring('media'),
      isOnlyInstance: app.isOnlyInstance,
      log: app.log
    })
    await keyAgreement.start()
    app.addHook('onClose', () => keyAgreement.stop())
    app.decorate('secrets', secrets)
    app.decorate('keyAgreement', keyAgreement)
  },
  { name: 'secrets', dependencies: ['database'] }
)

declare module 'fastify' {
  interface FastifyInstance {
    readonly secrets: Secrets
    readonly keyAgreement: KeyAgreement
  }
}
