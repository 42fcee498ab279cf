// Copies every row of a SQLite database into a migrated, empty Postgres database, in one transaction.
// See docs/postgres.md.
// Usage: node deploy/sqlite-to-postgres.mjs data/playgate.db postgres://…
import SQLite from 'better-sqlite3'
import pg from 'pg'

const [path, url] = process.argv.slice(2)
if (url === undefined) throw new Error('usage: node deploy/sqlite-to-postgres.mjs <SQLite file> <Postgres URL>')
const TABLES = `select name from sqlite_master
  where type = 'table' and name not like 'sqlite_%' and name not like 'kysely_%'`
const NEXT_VIEW_ID = `select setval(pg_get_serial_sequence('views', 'id'),
  (select coalesce(max(id), 0) + 1 from views), false)`
const from = new SQLite(path, { readonly: true, fileMustExist: true })
const to = new pg.Client({ connectionString: url })
const quote = (name) => `"${name}"`
const names = (db, sql) => db.prepare(sql).pluck().all()

/** Throws unless both databases have the same migrations, because columns are copied by name. */
async function checkTarget () {
  const sql = 'select name from kysely_migration order by name'
  const there = (await to.query(sql)).rows.map(({ name }) => name)
  if (names(from, sql).join() !== there.join()) {
    throw new Error('the two databases differ in their migrations: run playgate migrate on both')
  }
  const { rows } = await to.query('select 1 from accounts limit 1')
  if (rows.length > 0) throw new Error('the Postgres database has accounts already: use an empty one')
}

/** Returns the tables in an order in which each table follows the tables that it references. */
function sorted (tables) {
  const order = []
  const visit = (table) => {
    if (order.includes(table)) return
    for (const { table: parent } of from.pragma(`foreign_key_list(${quote(table)})`)) {
      if (parent !== table) visit(parent)
    }
    order.push(table)
  }
  tables.forEach(visit)
  return order
}

async function copyTable (table) {
  const columns = from.pragma(`table_info(${quote(table)})`).map(({ name }) => name)
  const places = columns.map((_, index) => `$${index + 1}`).join(', ')
  const text = `insert into ${quote(table)} (${columns.map(quote).join(', ')}) values (${places})`
  let count = 0
  for (const row of from
    .prepare(`select * from ${quote(table)}`)
    .raw()
    .iterate()) {
    await to.query({ name: `copy ${table}`, text, values: row })
    count++
  }
  console.log(`${table}: ${count} rows`)
}

await to.connect()
try {
  await to.query('begin')
  await checkTarget()
  const tables = sorted(names(from, TABLES))
  await to.query(`truncate ${tables.map(quote).join(', ')}`)
  for (const table of tables) await copyTable(table)
  await to.query(NEXT_VIEW_ID)
  await to.query('commit')
} finally {
  await to.end()
  from.close()
}
