import { analyticsGrowth } from './analytics-growth.js'

/** What can be measured, by name; each resolves with false if it missed its target. */
const benches: Record<string, { about: string, run (): Promise<boolean> }> = {
  'analytics-growth': { about: 'analytics with 1,000 and with 1,000,000 views in the log: the answer must not get slower', run: analyticsGrowth }
}

const names = process.argv.slice(2)
const unknown = names.filter((name) => !Object.hasOwn(benches, name))
if (names.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) console.log(`There is no bench ${unknown.join(', ')}.`)
  console.log(`npm run bench -- <name>…\n\n${Object.entries(benches).map(([name, { about }]) => `  ${name}\n      ${about}\n`).join('')}`)
  process.exitCode = names.length === 0 ? 0 : 2
} else {
  for (const name of names) if (!await benches[name]!.run()) process.exitCode = 1
}
