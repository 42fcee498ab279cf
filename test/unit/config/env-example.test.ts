import { readFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import t from 'tap'
import { loadConfig } from '../../../src/config/config.js'
import { VARIABLES } from '../../../src/config/environment.js'

const VARIABLE = /^#([A-Z_]+)=(.*)$/

const text = await readFile('.env.example', 'utf8')
const lines = text.split('\n')

t.test('.env.example names exactly the variables of the configuration, each once', async (t) => {
  const named = lines.flatMap((line) => VARIABLE.exec(line)?.[1] ?? [])
  t.same([...named].sort(), [...VARIABLES].sort())
})

t.test('.env.example has one comment right above each variable, with its default', async (t) => {
  for (const [index, line] of lines.entries()) {
    if (!VARIABLE.test(line)) continue
    t.match(lines[index - 1], /^# .*Default: .+\.$/, line)
    t.notMatch(lines[index - 2] ?? '', /^# [^-].*Default/, `${line} has one comment`)
  }
})

t.test('.env.example copied as it is changes nothing', async (t) => {
  t.same(parseEnv(text), {})
})

t.test('.env.example gives the true defaults, and no usable secret', async (t) => {
  const given = parseEnv(lines.map((line) => line.replace(VARIABLE, '$1=$2')).join('\n'))
  t.same(Object.keys(given).sort(), [...VARIABLES].sort())
  t.same(loadConfig(given), loadConfig({}))
  for (const [name, value] of Object.entries(given)) if (/SECRET|TOKEN$/.test(name)) t.equal(value, '', name)
})
