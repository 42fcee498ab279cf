import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { appendFile, mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Test } from 'tap'

const KiB = 1024

/** A file system of a few megabytes, in memory. */
export interface SmallDisk {
  folder: string
  /** Takes what room is left. */
  fill(): Promise<void>
  /** Gives it back. */
  free(): Promise<void>
  remount(how: 'ro' | 'rw'): void
}

/** Mounts one at `folder`, which is made, until the test ends. */
export async function mountSmallDisk (t: Pick<Test, 'teardown'>, folder: string, sizeMiB: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true })
  mount('-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'playgate-test', folder)
  t.teardown(() => {
    spawnSync('umount', ['--lazy', folder])
  })
  const filler = join(folder, `filler-${randomUUID()}`)
  return {
    folder,
    async fill () {
      for (const block of [Buffer.alloc(256 * KiB), Buffer.alloc(4 * KiB)]) {
        const full = async () =>
          await appendFile(filler, block).then(
            () => false,
            (error: NodeJS.ErrnoException) => {
              if (error.code === 'ENOSPC') return true
              throw error
            }
          )
        while (!(await full()));
      }
    },
    free: () => rm(filler),
    remount: (how) => mount('-o', `remount,${how}`, folder)
  }
}

function mount (...args: string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`)
}

/** Why no file system can be mounted here, and what to do; false where one can. */
export const noMount: string | false = (() => {
  const folder = mkdtempSync(join(tmpdir(), 'playgate-mount-'))
  try {
    mount('-t', 'tmpfs', '-o', 'size=1m', 'playgate-test', folder)
    spawnSync('umount', [folder])
    return false
  } catch (error) {
    return (
      'NO SMALL DISK: needs leave to mount a tmpfs: run as root, with CAP_SYS_ADMIN in a container ' +
      `(${(error as Error).message.trim()})`
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})()
