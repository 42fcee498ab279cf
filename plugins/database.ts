import fp from 'fastify-plugin'
import type { Kysely } from 'kysely'
import { migrations } from '../migrations/index.js'
import type { Config } from '../src/config/config.js'
import { DamageWatch } from '../src/database/damage-watch.js'
import { checkDatabaseFile, markIntact } from '../src/database/file-check.js'
import { acquireInstanceLock } from '../src/database/instance-lock.js'
import { migrate } from '../src/database/migrate.js'
import { openDatabase } from '../src/database/open.js'
import type { Database } from '../src/database/tables.js'

interface Options {
  config: Pick<Config, 'database'>
}

/** Opens and migrates the database, and closes it after everything that uses it. */
export default fp<Options>(
  async (app, { config: { database } }) => {
    const sqlitePath = database.engine === 'sqlite' ? database.path : undefined
    if (sqlitePath !== undefined) await checkDatabaseFile(sqlitePath)
    const damage = new DamageWatch((err) => {
      app.log.error({ err }, 'database file is damaged: stop the server and restore a backup (docs/backup.md)')
    })
    const db = openDatabase(database, {
      onConnectionError: ({ message }) => app.log.warn({ reason: message }, 'database connection failed'),
      onDamage: (error) => damage.report(error)
    })
    app.addHook('onClose', async () => {
      await db.destroy()
      if (sqlitePath !== undefined && !damage.isDamaged) await markIntact(sqlitePath)
    })
    await migrate(db, migrations)
    // The lock allows this process to end the leases of other processes at once. During a restart without a pause, the
    // old process still has the lock.
    const releaseLock = sqlitePath === undefined ? undefined : acquireInstanceLock(sqlitePath)
    app.addHook('onClose', async () => releaseLock?.())
    app.decorate('db', db)
    app.decorate('damage', damage)
    app.decorate('isOnlyInstance', releaseLock !== undefined)
  },
  { name: 'database' }
)

declare module 'fastify' {
  interface FastifyInstance {
    readonly db: Kysely<Database>
    /** Reports whether the SQLite file was found damaged. */
    readonly damage: DamageWatch
    /** True if no other process can use the database, because this process holds the lock of its SQLite file. */
    readonly isOnlyInstance: boolean
  }
}
