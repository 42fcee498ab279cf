import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Length } from './bench.js'
import type { Measured } from './compare.js'
import { congestionControl } from './network.js'

/** Where a run was measured, so that figures of two machines are not taken for those of one. */
export interface Machine {
  cpu: string
  cores: number
  memoryGb: number
  kernel: string
  node: string
  load: number
  loadAtEnd?: number
  congestionControl?: string
}

/** A run of the benches, as it is kept. */
export interface Results {
  at: string
  length: Length
  machine: Machine
  measured: Measured[]
}

const FOLDER = join('bench', 'results')

export function machineNow (): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: release(),
    node: process.version,
    load: Math.round(loadavg()[0]! * 10) / 10,
    congestionControl: congestionControl()
  }
}

/** Saves a run under its day. A run of only some benches never counts as a whole one. */
export async function saveResults (results: Results, whole: boolean): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  const name = `${results.at.slice(0, 10)}${whole ? '' : '-part'}.json`
  await writeFile(join(FOLDER, name), `${JSON.stringify(results, undefined, 1)}\n`)
}

/** The newest whole run. */
export async function findResults (): Promise<Results | undefined> {
  const newest = (await readdir(FOLDER))
    .filter((name) => /^\d{4}-\d\d-\d\d\.json$/.test(name))
    .sort()
    .at(-1)
  return newest === undefined ? undefined : (JSON.parse(await readFile(join(FOLDER, newest), 'utf8')) as Results)
}
