import type { Compilable, CompiledQuery, Kysely } from 'kysely'
import type { Database } from './tables.js'

/** Stands for an argument while a query is built: to Kysely it is a value like any other. */
class Argument {
  constructor (readonly name: string) {}
}

/**
 * A query for hot paths: built and compiled once for each database, then run with other arguments. Building and
 * compiling takes Kysely longer than SQLite takes to answer. `build` gets stand-ins for the arguments: it may put them
 * into the query, and must not look at them.
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
