import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { sql } from 'kysely'
import { GiB } from '../bytes.js'
import { migrations } from '../../migrations/index.js'
import { pendingMigrations } from '../database/migrate.js'
import { countFiles } from '../media/media-store.js'
import { resealContentKeys } from '../protection/content-keys.js'
import { Ffmpeg } from '../protection/hls/ffmpeg.js'
import { openRedis } from '../redis/redis.js'
import { canOpenViewerSecret } from '../views/viewer-secret-store.js'
import { diskSpace } from '../storage/disk-space.js'
import { openDiskStore } from '../storage/disk-store.js'
import { loadSecrets } from '../secrets/keyring.js'
import type { Command, CommandContext } from './command.js'
import { NOT_MIGRATED, fail, ok, warn, type Finding } from './finding.js'
import { mux } from './mux-account.js'
import { isNew } from './new-server.js'
import { files, pairing } from './stored-files.js'

type Check = (context: CommandContext) => Promise<Finding>

/** A larger skew is a fault: links expire to the second, and tokens expire by the server's clock. */
const MAX_CLOCK_SKEW_MS = 2000

export const doctor: Command = {
  summary: 'check everything that a server needs, and print how to fix each problem',
  usage: 'doctor',
  async run (context) {
    const run = async (check: Check): Promise<Finding> =>
      await check(context).catch((error: unknown) =>
        fail(check.name, (error as Error).message || String(error), 'run doctor as the user that the server runs as')
      )
    const findings = [await run(node), await run(database)]
    const withDatabase = findings[1]!.status === 'ok'
    for (const check of [schema, redis, uploads, pairing, files, disk, clock, proxies, secret, keys, ffmpeg, mux]) {
      // The checks in this list need a database.
      if (withDatabase || ![schema, pairing, files, clock, keys].includes(check)) findings.push(await run(check))
    }
    const lines = findings.flatMap(({ check, status, message, fix }) => [
      `${status.padEnd(4)}  ${check.padEnd(9)} ${message}`,
      ...(fix === undefined ? [] : [`${' '.repeat(16)}→ ${fix}`])
    ])
    return { ok: findings.every(({ status }) => status !== 'fail'), report: { findings }, lines }
  }
}

async function node (): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const fits = major > 20 || (major === 20 && minor >= 19)
  return fits
    ? ok('node', process.version)
    : fail('node', `${process.version} is too old`, 'install Node 20.19 or newer')
}

async function database ({ config, db }: CommandContext): Promise<Finding> {
  // Opening a missing SQLite database creates it. In a wrong folder, this check would create an empty database.
  if (isNew(config)) {
    return warn(
      'database',
      `no database at ${resolve(config.database.path)} yet`,
      'start the server; or run doctor in the folder and with the environment of the server'
    )
  }
  try {
    if (config.database.engine === 'sqlite') {
      const { rows } = await sql<{ quick_check: string }>`pragma quick_check`.execute(db)
      const state = rows[0]?.quick_check
      return state === 'ok'
        ? ok('database', `SQLite at ${resolve(config.database.path)} is intact`)
        : fail('database', `SQLite is damaged: ${state}`, 'restore the file from a backup, then run recount')
    }
    const { rows } = await sql<{ version: string }>`select version()`.execute(db)
    return ok('database', rows[0]!.version.split(' on ')[0]!)
  } catch (error) {
    return fail(
      'database',
      `failed to connect: ${(error as Error).message || (error as { code?: string }).code}`,
      'check that the database runs and accepts connections from this machine; check DATABASE_URL'
    )
  }
}

async function schema ({ db }: CommandContext): Promise<Finding> {
  const pending = await pendingMigrations(db, migrations)
  return pending.length === 0
    ? ok('schema', 'up to date')
    : warn(
      'schema',
        `${pending.length} pending migrations: ${pending.join(', ')}`,
        'run playgate migrate, or start the server'
    )
}

async function redis ({ config }: CommandContext): Promise<Finding> {
  if (config.redisUrl === undefined) {
    return config.database.engine === 'sqlite'
      ? ok('redis', 'not configured: limits and cache are in the process')
      : warn(
        'redis',
        'not configured: each process has its own limits',
        'if more than one process runs, set REDIS_URL'
      )
  }
  const link = await openRedis(config.redisUrl)
  const up = link.up
  link.close()
  return up
    ? ok('redis', 'responds')
    : fail('redis', 'not available: each process has its own limits', 'check that Redis runs; check REDIS_URL')
}

async function uploads ({ config, db }: CommandContext): Promise<Finding> {
  if (!existsSync(config.uploadDir)) {
    const files = isNew(config) ? 0 : await countFiles(db).catch(() => 0)
    return files === 0
      ? ok('uploads', `the first start will create ${resolve(config.uploadDir)}`)
      : fail(
        'uploads',
          `${resolve(config.uploadDir)} does not exist, but the database has ${files} files`,
          'mount the folder, or check UPLOAD_DIR'
      )
  }
  await (await openDiskStore(config.uploadDir)).check()
  const [tmp, blobs] = ['tmp', 'blobs'].map((name) => statSync(join(config.uploadDir, name)).dev)
  return tmp === blobs
    ? ok('uploads', `${resolve(config.uploadDir)} is writable`)
    : fail(
      'uploads',
      'tmp and blobs are on different file systems',
      'put both on one file system: a rename publishes an upload'
    )
}

async function disk ({ config }: CommandContext): Promise<Finding> {
  let folder = resolve(config.uploadDir)
  while (!existsSync(folder)) folder = dirname(folder)
  const { freeBytes: free } = await diskSpace(folder)
  const message = `${(free / GiB).toFixed(1)} GiB free for uploads`
  return free > config.maxUploadBytes
    ? ok('disk', message)
    : warn('disk', `${message}, less than one upload of the maximum size`, 'free disk space, or lower MAX_UPLOAD_BYTES')
}

async function clock ({ config, db }: CommandContext): Promise<Finding> {
  if (config.database.engine === 'sqlite') return ok('clock', new Date().toISOString())
  const before = Date.now()
  const { rows } = await sql<{ now: number }>`select extract(epoch from clock_timestamp()) * 1000 as now`.execute(db)
  const skew = Math.round(Number(rows[0]!.now) - (before + Date.now()) / 2)
  return Math.abs(skew) <= MAX_CLOCK_SKEW_MS
    ? ok('clock', `${skew} ms from the database's`)
    : warn('clock', `${skew} ms from the database's`, 'run NTP on both machines: links and tokens expire by the clock')
}

async function proxies ({ config }: CommandContext): Promise<Finding> {
  if (config.trustedProxies.length > 0) {
    return ok('proxies', `forwarded headers are accepted from ${config.trustedProxies.join(', ')}`)
  }
  return config.publicUrl === undefined
    ? ok('proxies', 'no trusted proxies')
    : warn(
      'proxies',
      'PUBLIC_URL is set, but no proxy is trusted: behind a proxy, all viewers share its address',
      'set TRUSTED_PROXIES to the address or CIDR of the proxy'
    )
}

async function secret ({ config }: CommandContext): Promise<Finding> {
  if (config.secretKey !== undefined) return ok('secret', 'from SECRET_KEY')
  const path = join(config.dataDir, 'secret.key')
  const facts = statSync(path, { throwIfNoEntry: false })
  if (facts === undefined) return ok('secret', `the first start will create ${path}`)
  return (facts.mode & 0o077) === 0
    ? ok('secret', `stored in ${path}`)
    : fail('secret', `other users can read ${path}`, `run chmod 600 ${path}`)
}

async function keys ({ config, db }: CommandContext): Promise<Finding> {
  if ((await pendingMigrations(db, migrations)).length > 0) return ok('keys', NOT_MIGRATED)
  const isFirstStart = config.secretKey === undefined && !existsSync(join(config.dataDir, 'secret.key'))
  if (isFirstStart) return ok('keys', 'no keys yet')
  const secrets = loadSecrets(config)
  if (!(await canOpenViewerSecret(db, secrets.keyring('viewer-address')))) {
    return fail(
      'keys',
      'the viewer secret was encrypted with another SECRET_KEY: the server does not start',
      'add that key to SECRET_KEYS_PREVIOUS; if it is lost, run playgate give-up-viewers'
    )
  }
  const { lost } = await resealContentKeys(db, secrets.keyring('media'), { dryRun: true })
  return lost === 0
    ? ok('keys', 'all content keys can be opened')
    : fail(
      'keys',
        `${lost} protected media cannot be played: their keys were encrypted with another SECRET_KEY`,
        'add that key to SECRET_KEYS_PREVIOUS'
    )
}

async function ffmpeg ({ config }: CommandContext): Promise<Finding> {
  const version = await new Ffmpeg(config.searchPath).version()
  return version !== undefined
    ? ok('ffmpeg', version.split(' Copyright')[0]!)
    : ok('ffmpeg', 'not installed: no pictures and renditions, and only H.264 with AAC or MP3 can be protected')
}
