import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { temporaryFolder } from './ffmpeg.js'

/** A search path whose ffmpeg is the body of a shell script, which may call the real one. */
export async function fakeFfmpeg (t: Test, script: string): Promise<string> {
  const folder = await temporaryFolder(t)
  const text = `#!/bin/sh\n[ "$1" != -version ] || { echo "ffmpeg version fake"; exit 0; }\n${script}\n`
  await writeFile(join(folder, 'ffmpeg'), text, { mode: 0o755 })
  return `${folder}:/usr/bin:/bin`
}
