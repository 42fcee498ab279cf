import { randomInt } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startNginx } from '../test/support/nginx-process.js'
import { requestsOf, type Bench, type Length, type Sample } from './bench.js'
import { get, gigabytes, measureLoad, runLoad } from './load.js'
import { startBareNginx } from './nginx.js'
import { familyOf, residentMbOf, startProgram } from './processes.js'
import { MiB, newLink, startBenchServer, uploadNoise } from './bench-server.js'

const FILE_BYTES = 512 * MiB
const downloads = (length: Length) => ({ gate: 2, laptop: 2, full: 12 })[length]

/** One large file by link, compared with bare nginx and with a simple stream in Node. */
export const bulkStream: Bench = {
  name: 'stream',
  about: 'a file of 512 MiB by link, from the page cache',
  unit: 'GB',
  gated: true,
  warmUp: 1,
  rows: [
    // What sendfile costs is the congestion control's: without pacing a seventh of what it is with BBR, and less than
    // to read the file. Against nginx that copies the gate is close.
    {
      what: 'Stream of 512 MiB by link',
      figure: 'cpu',
      subject: 'Playgate',
      baseline: 'nginx sendfile',
      atMost: 1.5,
      why: '[Node has no sendfile](#streams)',
      knownMiss: 5
    },
    {
      what: 'Stream of 512 MiB by link',
      figure: 'cpu',
      subject: 'Playgate',
      baseline: 'nginx, sendfile off',
      atMost: 2
    },
    {
      what: 'Stream of 512 MiB by link',
      figure: 'cpu',
      subject: 'Playgate',
      baseline: 'createReadStream 256 KiB',
      atMost: 0.5
    },
    {
      what: 'Stream behind nginx, STREAM_OFFLOAD=x-accel',
      figure: 'cpu',
      subject: 'Playgate and nginx, x-accel',
      baseline: 'nginx sendfile',
      atMost: 1.15
    }
  ],
  async open (t, length) {
    // A server each: one that has just pumped gigabytes still collects its garbage while nginx sends.
    const withFile = async (more: Record<string, string> = {}) => {
      const server = await startBenchServer(t, more)
      return { server, target: await newLink(server, await uploadNoise(server, FILE_BYTES)) }
    }
    const [{ server, target }, { server: behind, target: targetBehind }] = await Promise.all([
      withFile(),
      withFile({ TRUSTED_PROXIES: '127.0.0.1', STREAM_OFFLOAD: 'x-accel' })
    ])
    const folder = join(behind.uploads, 'blobs')
    const [blob] = await readdir(folder)
    const bareNginx = await startBareNginx(t, folder)
    const front = await startNginx(t, 'nginx-compose.conf', [behind.origin], behind.uploads)
    // A round of a few requests is not what warms V8 up.
    await runLoad({
      kind: 'requests',
      origin: front.origin,
      connections: 8,
      count: 2000,
      requests: [get(targetBehind, { range: 'bytes=0-1000' })],
      expect: 206
    })
    const usual = await startProgram(t, 'bench/baselines/read-stream.js', { FILE: join(folder, blob!) })
    const times = downloads(length)
    const side = (program: { origin: string; pids: number[] }, path: string, times: number) => () =>
      measureLoad(
        program,
        { kind: 'download', origin: program.origin, request: get(path), times, expect: 200 },
        gigabytes
      )
    // The two that are to differ by less than a seventh: one right after the other, and twice as long, which is a third
    // of a second more.
    return {
      Playgate: side(server, target, times),
      'nginx, sendfile off': side(bareNginx, `/copied/${blob}`, times),
      'createReadStream 256 KiB': side(usual, '/', times),
      'nginx sendfile': side(bareNginx, `/${blob}`, 2 * times),
      'Playgate and nginx, x-accel': side(
        { origin: front.origin, pids: [...behind.pids, ...familyOf(front.pid)] },
        targetBehind,
        2 * times
      )
    }
  }
}

const RANGE_BYTES = 64 * 1024
const RANGE_FILE_BYTES = 64 * MiB
const CONNECTIONS = 64

/** What seeking players ask. */
export const ranges: Bench = {
  name: 'ranges',
  about: 'random ranges of 64 KiB by link, on 64 connections',
  unit: 'request',
  gated: true,
  rounds: { laptop: 8 },
  rows: [
    {
      what: 'Range of 64 KiB, 64 connections',
      figure: 'cpu',
      subject: 'Playgate',
      baseline: 'empty Fastify handler',
      atMost: 6
    }
  ],
  async open (t, length) {
    const server = await startBenchServer(t)
    const target = await newLink(server, await uploadNoise(server, RANGE_FILE_BYTES))
    const empty = await startProgram(t, 'bench/baselines/handlers.js', {})
    const count = requestsOf(length)
    const requests = Array.from({ length: 500 }, () => randomInt(1, RANGE_FILE_BYTES - RANGE_BYTES)).map((start) =>
      get(target, { range: `bytes=${start}-${start + RANGE_BYTES - 1}` })
    )
    return {
      Playgate: () =>
        measureLoad(server, {
          kind: 'requests',
          origin: server.origin,
          connections: CONNECTIONS,
          count,
          requests,
          expect: 206
        }),
      'empty Fastify handler': () =>
        measureLoad(empty, {
          kind: 'requests',
          origin: empty.origin,
          connections: CONNECTIONS,
          count,
          requests: [get('/')],
          expect: 200
        })
    }
  }
}

const READERS = 200

/** Many viewers on slow lines hold memory for as long as they watch. */
export const slowReaders: Bench = {
  name: 'slow-readers',
  about: '200 readers of 128 KiB a second, each with a stream of its own',
  unit: 'reader',
  gated: true,
  // Each round is a server of its own.
  rounds: { gate: 1, laptop: 3, full: 6 },
  warmUp: 0,
  rows: [{ what: 'Memory that 200 slow readers take', figure: 'memory', subject: 'Playgate', atMost: 80 }],
  async open (t, length) {
    return {
      async Playgate (): Promise<Sample> {
        const server = await startBenchServer(t)
        const target = await newLink(server, await uploadNoise(server, 64 * MiB))
        // What an upload took is given back in time; streams are to be compared with a server that has streamed before.
        await runLoad({ kind: 'download', origin: server.origin, request: get(target), times: 1, expect: 200 })
        const pid = server.pids[0]!
        await sleep(1000)
        const before = residentMbOf(pid)
        const enough = new AbortController()
        const readers = runLoad(
          {
            kind: 'download',
            origin: server.origin,
            request: get(target),
            times: 1,
            connections: READERS,
            bytesPerSecond: 128 * 1024,
            expect: 200
          },
          enough.signal
        )
        let most = 0
        const looks = length === 'full' ? 100 : 15
        for (let look = 0; look < looks; look++) {
          await sleep(200)
          most = Math.max(most, residentMbOf(pid))
        }
        enough.abort()
        const { seconds, cpuSeconds } = await readers
        server.child.kill('SIGKILL')
        return { units: READERS, seconds, cpuSeconds: 0, loadCpuSeconds: cpuSeconds, memoryMb: most - before }
      }
    }
  }
}
