import { call, DemoFailure } from './client.js'
import type { Terminal } from './terminal.js'

/** Mux for a demo: the double of the tests, which comes with the source. */
export interface MuxTheatre {
  /** The variables that a server needs for it. */
  environment: Record<string, string>
  sendWebhooksTo(origin: string): void
  /** From now on all webhooks are lost: the server has to ask. */
  loseWebhooks(): void
  /**
   * Follows an address as a player does, and answers what its token says. Throws {@link DemoFailure} if it opens
   * nothing.
   */
  open(url: string): Promise<Record<string, unknown>>
  /** How many assets there are. */
  assets(): number
  close(): Promise<void>
}

/** Starts it, as a step of the story. It is imported only then: an installation has no tests. */
export async function createMuxTheatre (terminal: Terminal): Promise<MuxTheatre> {
  const { MuxDouble, readToken } = await import('../test/support/mux-double.js')
  terminal.step('Start a double of Mux')
  const mux = await new MuxDouble().start()
  terminal.good(`${mux.origin} takes uploads, makes assets and sends signed webhooks`)
  return {
    environment: { ...mux.environment(), PROTECT_LECTURES: 'all' },
    sendWebhooksTo (origin) {
      mux.webhookUrl = `${origin}/webhooks/mux`
    },
    loseWebhooks () {
      mux.webhookUrl = undefined
    },
    async open (url) {
      if (!url.startsWith('https://stream.mux.com/')) throw new DemoFailure(`${url} is no address of Mux`)
      const claims = readToken(new URL(url).searchParams.get('token') ?? '', mux.publicKey)
      if (claims === undefined) {
        throw new DemoFailure('the token of the address is not signed by the key of the account')
      }
      const { status } = await call(url.replace('https://stream.mux.com', `${mux.origin}/stream`))
      if (status !== 200) throw new DemoFailure(`Mux answered the address ${status}`)
      return claims
    },
    assets: () => mux.assets.size,
    close: () => mux.stop()
  }
}
