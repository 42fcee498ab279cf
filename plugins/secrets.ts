import fp from 'fastify-plugin'
import type { Config } from '../src/config/config.js'
import { agreeOnKeys } from '../src/secrets/key-agreement.js'
import { loadSecrets, type Secrets } from '../src/secrets/keyring.js'
import type { Clock } from '../src/time.js'

interface Options {
  config: Pick<Config, 'secretKey' | 'secretKeysPrevious' | 'dataDir'>
  now: Clock
}

/** Loads the secrets and announces them to the other processes, until the server closes. */
export default fp<Options>(
  async (app, { config, now }) => {
    const secrets = loadSecrets(config)
    const withdrawKeys = await agreeOnKeys({
      db: app.db,
      keys: secrets.keyring('media'),
      now,
      isOnlyInstance: app.isOnlyInstance
    })
    app.addHook('onClose', withdrawKeys)
    app.decorate('secrets', secrets)
  },
  { name: 'secrets', dependencies: ['database'] }
)

declare module 'fastify' {
  interface FastifyInstance {
    readonly secrets: Secrets
  }
}
