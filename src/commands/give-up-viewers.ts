import { loadSecrets } from '../secrets/keyring.js'
import { giveUpViewerSecret } from '../views/viewer-secret-store.js'
import type { Command } from './command.js'

export const giveUpViewers: Command = {
  summary:
    'give up the secret that tells viewers apart, where its SECRET_KEY is lost; who comes back then counts as a new ' +
    'viewer',
  usage: 'give-up-viewers',
  async run ({ config, db }) {
    const givenUp = await giveUpViewerSecret(db, loadSecrets(config).keyring('viewer-address'))
    const line = givenUp
      ? 'The old secret is kept, sealed as it was. The next start makes a new one.'
      : 'Nothing to give up: the secret can be opened, or there is none.'
    return { ok: givenUp, report: { given_up: givenUp }, lines: [line] }
  }
}
