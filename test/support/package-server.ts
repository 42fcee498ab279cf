import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Ffmpeg } from '../../src/protection/hls/ffmpeg.js'
import { decrypt } from './ffmpeg.js'
import { mintStream, settled } from './protected-server.js'
import { buildTestApp, type TestApp } from './test-app.js'
import { signUpEverybody, upload, type Person } from './client.js'

/** A server that packages; `stream` uploads a file and returns the plain stream, or the code of its failure. */
export interface PackageServer {
  stream (file: string | Buffer, type: 'video' | 'audio'): Promise<{ code: string } | StreamFile>
}
interface StreamFile {
  code: 'ready'
  path: string
  master: string
  /** The sum of the playlist's durations. */
  seconds: number
}

/** With the ffmpeg of a search path, which is `PATH` for `true`, or without. */
export async function startPackageServer (t: Test, searchPath: boolean | string): Promise<PackageServer> {
  const path = searchPath === true ? process.env.PATH! : searchPath
  const server = await buildTestApp(t, {}, path === false ? {} : { ffmpeg: new Ffmpeg(path) })
  const { instructor } = await signUpEverybody(server)
  await server.listen()
  return {
    async stream (file, type) {
      const reply = await upload(server, instructor, file, { protection: 'encrypted', type })
      if (reply.statusCode !== 201) return { code: `${reply.statusCode} ${reply.body}` }
      const { id } = reply.json<{ id: string }>()
      const media = await settled(server, id, instructor)
      return media.status === 'ready' ? await readStream(server, id, instructor) : { code: media.error!.code }
    }
  }
}

async function readStream (server: TestApp, id: string, person: Person): Promise<StreamFile> {
  const stream = await mintStream(server, id, person)
  const get = async (file: string) => (await stream.get(file)).body
  const [master, playlist, key] = await Promise.all(['master.m3u8', 'media.m3u8', 'content.key'].map(get))
  const lines = playlist!.toString().split('\n')
  const files = lines.filter((line) => line.endsWith('.ts'))
  const segments = await Promise.all(files.map(async (file, number) => decrypt(await get(file), key!, number)))
  const path = join(server.folder, `${id}.ts`)
  await writeFile(path, Buffer.concat(segments))
  const durations = lines.filter((line) => line.startsWith('#EXTINF:')).map((line) => parseFloat(line.slice(8)))
  const seconds = durations.reduce((sum, duration) => sum + duration, 0)
  return { code: 'ready', path, master: master!.toString(), seconds }
}
