import { CompiledQuery, sql, type Kysely } from 'kysely'
import type { Database } from '../../src/database/tables.js'
import { engine } from './test-app.js'

/** How a database runs a query, one line a step; `rowsRead` by Postgres, which counts them. */
export interface Plan {
  steps: string[]
  rowsRead: number
}

/** Every query that `work` runs outside of transactions, each text once. */
export async function queriesOf (db: Kysely<Database>, work: () => Promise<unknown>): Promise<CompiledQuery[]> {
  const queries = new Map<string, CompiledQuery>()
  const executor = db.getExecutor()
  const execute = executor.executeQuery.bind(executor)
  executor.executeQuery = async (query, ...more) => {
    queries.set(query.sql, query)
    return await execute(query, ...more)
  }
  try {
    await work()
  } finally {
    executor.executeQuery = execute
  }
  return [...queries.values()]
}

export async function planOf (db: Kysely<Database>, query: CompiledQuery, isSmall: boolean): Promise<Plan> {
  return engine === 'sqlite' ? await planOfSqlite(db, query) : await planOfPostgres(db, query, isSmall)
}

async function planOfSqlite (db: Kysely<Database>, { sql: text, parameters }: CompiledQuery): Promise<Plan> {
  const { rows } = await db.executeQuery<{ detail: string }>(
    CompiledQuery.raw(`explain query plan ${text}`, [...parameters])
  )
  return { steps: rows.map(({ detail }) => detail), rowsRead: 0 }
}

interface Node {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Index Recheck'?: number
  Plans?: Node[]
}

async function planOfPostgres (db: Kysely<Database>, query: CompiledQuery, isSmall: boolean): Promise<Plan> {
  const { sql: text, parameters } = query
  return await db.transaction().execute(async (trx) => {
    // In a small table Postgres prefers to read everything: what is left of these has no index to use.
    for (const way of isSmall ? ['seqscan', 'bitmapscan', 'sort'] : []) {
      await sql.raw(`set local enable_${way} = off`).execute(trx)
    }
    const { rows } = await trx.executeQuery<{ 'QUERY PLAN': Array<{ Plan: Node }> }>(
      CompiledQuery.raw(`explain (analyze, timing off, format json) ${text}`, [...parameters])
    )
    const nodes = withChildren(rows[0]!['QUERY PLAN'][0]!.Plan)
    return { steps: nodes.map(stepOf), rowsRead: nodes.reduce((sum, node) => sum + rowsReadBy(node), 0) }
  })
}

const withChildren = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(withChildren)]

function stepOf (node: Node): string {
  const parts = [node['Node Type'], node['Index Name'], node['Relation Name']]
  return parts.filter((part) => part !== undefined).join(' ')
}

function rowsReadBy (node: Node): number {
  if (node['Relation Name'] === undefined) return 0
  const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)
  return (node['Actual Rows'] + removed) * node['Actual Loops']
}
