import { countMuxMedia } from '../media/media-protection-store.js'
import type { CommandContext } from './command.js'
import { fail, ok, warn, type Finding } from './finding.js'
import { isNew } from './new-server.js'

/** Longer than a healthy Mux needs to respond. */
const MUX_TIMEOUT_MS = 5000

/** Checks the account at Mux. Warns if Mux plays media but no account is set up. */
export async function mux ({ config, db }: CommandContext): Promise<Finding> {
  // Other checks report a missing database or an outdated schema.
  const played = isNew(config) ? 0 : await countMuxMedia(db).catch(() => 0)
  if (config.mux === undefined) {
    return played === 0
      ? ok('mux', 'not configured')
      : warn(
        'mux',
          `${played} media at Mux cannot be played: no account is configured`,
          'set MUX_TOKEN_ID and the other variables of the account (docs/mux.md)'
      )
  }
  const [{ MuxApi }, { faultOf }] = await Promise.all([
    import('../protection/mux/mux-api.js'),
    import('../protection/mux/mux-fault.js')
  ])
  try {
    return (await new MuxApi(config.mux, MUX_TIMEOUT_MS).check())
      ? ok(
        'mux',
          `responds, for ${config.videoProvider === 'mux' ? 'new media' : 'the media that are already there'}` +
            (config.mux.drmConfigurationId === undefined ? '' : ', with DRM')
      )
      : fail(
        'mux',
        'the account does not have this signing key, so Mux will refuse players',
        'check MUX_SIGNING_KEY_ID and MUX_PRIVATE_KEY: they are one signing key, in the ' +
            'environment of MUX_TOKEN_ID'
      )
  } catch (error) {
    return fail(
      'mux',
      faultOf(error).message,
      'check MUX_TOKEN_ID, MUX_TOKEN_SECRET and MUX_BASE_URL, and https://status.mux.com'
    )
  }
}
