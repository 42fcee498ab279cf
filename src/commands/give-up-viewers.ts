import { loadSecrets } from '../secrets/keyring.js'
import { giveUpViewerSecret } from '../views/viewer-secret-store.js'
import type { Command } from './command.js'

export const giveUpViewers: Command = {
  summary:
    'give up the secret that identifies viewers, if its SECRET_KEY is lost; each returning viewer then counts as new',
  usage: 'give-up-viewers',
  async run ({ config, db }) {
    const givenUp = await giveUpViewerSecret(db, loadSecrets(config).keyring('viewer-address'))
    const line = givenUp
      ? 'The next start will create a new secret. The old one stays in the database, encrypted.'
      : 'Nothing to do: the secret can be opened, or there is none.'
    return { ok: givenUp, report: { given_up: givenUp }, lines: [line] }
  }
}
