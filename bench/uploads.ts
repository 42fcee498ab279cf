import { randomUUID } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { call } from '../test/support/server-process.js'
import type { Bench, Sample } from './bench.js'
import { gigabytes, measureLoad, type Job } from './load.js'
import { startBareNginx } from './nginx.js'
import { startProgram, type Program } from './processes.js'
import { MiB, formBody, startBenchServer, rawBody, type BenchServer } from './bench-server.js'

const FILE_BYTES = 512 * MiB
/** What is sent once by each side beforehand: a first upload is dear, of whatever size. */
const WARM_UP_BYTES = 64 * MiB

/** What is not timed: the last upload is deleted again. */
async function forget ({ origin, token }: BenchServer): Promise<void> {
  const { items } = (await call(origin, '/media', { token })).body as { items: Array<{ id: string }> }
  for (const { id } of items) await call(origin, `/media/${id}`, { token, method: 'DELETE' })
}

/**
 * Leaves the kernel a gigabyte of free pages that were just in use. A virtual machine gives pages back to its host that
 * were free for some seconds (page_reporting), and pays a second of processor time for each gigabyte that it asks for
 * again: whichever side came later than that would pay several times what the other does.
 */
async function warmMemory (folder: string): Promise<void> {
  const path = join(folder, randomUUID())
  const file = await open(path, 'w')
  const block = Buffer.alloc(4 * MiB)
  for (let written = 0; written < 2 * FILE_BYTES; written += block.length) await file.write(block)
  await file.close()
  await rm(path)
}

/**
 * Files on their way in: as a form, against the recipe of the plugin that reads it; and as the body itself, against
 * nginx.
 */
export const uploads: Bench = {
  name: 'upload',
  about: 'a file of 512 MiB uploaded, hashed, probed, and synced to disk',
  unit: 'GB',
  rounds: { gate: 2, laptop: 5 },
  warmUp: 0,
  gated: true,
  rows: [
    {
      what: 'Multipart upload of 512 MiB',
      figure: 'cpu',
      subject: 'Playgate, form',
      baseline: '@fastify/multipart to disk, hashed',
      atMost: 1.1
    },
    {
      what: 'PUT /media/uploads of 512 MiB',
      figure: 'cpu',
      subject: 'Playgate, PUT',
      baseline: 'nginx PUT',
      atMost: 1.4,
      why: '[SHA-256 costs more than the whole upload by nginx](#uploads)',
      knownMiss: 5
    }
  ],
  async open (t) {
    const server = await startBenchServer(t)
    const folder = `${server.env.DATA_DIR}-nginx`
    await mkdir(folder, { recursive: true })
    const nginx = await startBareNginx(t, folder)
    const recipe = await startProgram(t, 'bench/baselines/multipart-to-disk.js', { FOLDER: folder })
    const send = async (
      { origin, pids }: Program,
      body: Omit<Job & { kind: 'upload' }, 'kind' | 'origin' | 'expect'>
    ): Promise<Sample> => {
      if (body.bytes >= FILE_BYTES) await warmMemory(folder)
      return await measureLoad({ pids }, { kind: 'upload', origin, ...body, expect: 201 }, gigabytes)
    }
    const kept = async (sample: Promise<Sample>, after: () => Promise<unknown>): Promise<Sample> => {
      const measured = await sample
      await after()
      return measured
    }
    const sides = (bytes: number) => ({
      'Playgate, form': () => kept(send(server, formBody(server.token, bytes)), () => forget(server)),
      '@fastify/multipart to disk, hashed': () => send(recipe, formBody(server.token, bytes)),
      'Playgate, PUT': () =>
        kept(send(server, rawBody('/media/uploads?title=Noise&type=audio', server.token, bytes)), () => forget(server)),
      'nginx PUT': () =>
        kept(send(nginx, rawBody('/put/noise.wav', undefined, bytes)), () =>
          call(nginx.origin, '/put/noise.wav', { method: 'DELETE' })
        )
    })
    for (const warmUp of Object.values(sides(WARM_UP_BYTES))) await warmUp()
    return sides(FILE_BYTES)
  }
}
