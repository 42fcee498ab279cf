import { call, DemoFailure } from './client.js'
import type { Terminal } from './terminal.js'

/** The fake Mux of the tests, for a demo. The tests are part of the source. */
export interface FakeMux {
  /** The environment variables of a server that uses this fake Mux. */
  environment: Record<string, string>
  sendWebhooksTo(origin: string): void
  /** Drops all webhooks from now on, so that the server must poll. */
  dropWebhooks(): void
  /**
   * Opens a URL like a player, and returns the claims of its token. **Throws** {@link DemoFailure} if the URL does not
   * open.
   */
  open(url: string): Promise<Record<string, unknown>>
  /** Returns the number of assets. */
  assets(): number
  close(): Promise<void>
}

/** Starts the fake Mux as a step of the demo. Only this function imports it, because an installation has no tests. */
export async function startFakeMux (terminal: Terminal): Promise<FakeMux> {
  const { MuxDouble, readToken } = await import('../test/support/mux-double.js')
  terminal.step('Start a fake Mux')
  const mux = await new MuxDouble().start()
  terminal.good(`${mux.origin} takes uploads, makes assets and sends signed webhooks`)
  return {
    environment: { ...mux.environment(), PROTECT_LECTURES: 'all' },
    sendWebhooksTo (origin) {
      mux.webhookUrl = `${origin}/webhooks/mux`
    },
    dropWebhooks () {
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
