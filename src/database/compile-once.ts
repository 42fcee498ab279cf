import type { Compilable, CompiledQuery, Kysely } from 'kysely'
import type { Database } from './tables.js'

/** A placeholder for an argument while a query is built. Kysely treats it as a value. */
class Argument {
  constructor (readonly name: string) {}
}

/**
 * Returns a query for hot paths. It is compiled once for each database, and then runs with different arguments. Kysely
 * takes longer to build and compile a query than SQLite takes to run it. `build` gets placeholders for the arguments:
 * it may put them into the query, but must not read them.
 */
export function compileOnce<A extends Record<string, unknown>, R> (
  build: (db: Kysely<Database>, args: A) => Compilable<R>
): (db: Kysely<Database>, args: A) => Promise<R[]> {
  const compiled = new WeakMap<Kysely<Database>, CompiledQuery<R>>()
  const standIns = new Proxy({}, { get: (_target, name) => new Argument(String(name)) }) as A
  return async (db, args) => {
    let query = compiled.get(db)
    if (query === undefined) compiled.set(db, (query = build(db, standIns).compile()))
    const parameters = query.parameters.map((value) => (value instanceof Argument ? args[value.name] : value))
    return (await db.executeQuery<R>({ ...query, parameters } as CompiledQuery<R>)).rows
  }
}
