import { readFileSync } from 'node:fs'
import t from 'tap'

t.test('a change of docs or tests builds no image again: the context has only what the Dockerfile copies', (t) => {
  const lines = (file: string) => readFileSync(file, 'utf8').split('\n')
  const [first, ...patterns] = lines('.dockerignore').filter((line) => line !== '' && !line.startsWith('#'))
  t.equal(first, '*')
  t.same(patterns.filter((pattern) => !pattern.startsWith('!')), [])
  const copied = lines('Dockerfile')
    .filter((line) => /^COPY (?!--from)/.test(line))
    .flatMap((line) => line.split(/\s+/).slice(1, -1))
  t.same(patterns.map((pattern) => pattern.slice(1)).sort(), copied.sort())
  t.end()
})
