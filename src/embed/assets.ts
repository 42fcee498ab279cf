import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** Put there by the build: from web/, and hls.js and shaka-player from development dependencies. */
const FOLDER = new URL('../../assets/embed/', import.meta.url)
const NAMES = [
  'player.js',
  'api.js',
  'engine.js',
  'links.js',
  'words.js',
  'player.css',
  'hls.light.min.js',
  'shaka-player.hls-es2021.js'
]

/** A file of the player's page; `etag` is a strong one, from the content. */
export interface EmbedAsset {
  name: string
  type: string
  etag: string
  content: Buffer
}

/** Reads the files of the player's page, once: they change with the server alone. */
export async function loadEmbedAssets (): Promise<EmbedAsset[]> {
  return await Promise.all(
    NAMES.map(async (name) => {
      const content = await readFile(new URL(name, FOLDER))
      const type = name.endsWith('.css') ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8'
      return { name, type, etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`, content }
    })
  )
}
