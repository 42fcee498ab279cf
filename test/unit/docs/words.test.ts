import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

/** Words that the project does not use, and the plain word for each. */
const WORDS: Array<[RegExp, string]> = [
  [/\banew\b/i, 'again'],
  [/\bfor ever\b/i, 'forever'],
  [/\bheld against\b/i, 'compared with'],
  [/\bof ours\b/i, 'our …'],
  [/\bso many\b/i, 'this many, or the number'],
  [/\banswers the\b/i, 'returns the'],
  [/\blets? go\b/i, 'release']
]
const FOLDERS = ['src', 'plugins', 'routes', 'web', 'bench', 'demo', 'docs', 'test']
const FILES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', '.env.example']
/** This list itself; decisions stand as they were made. */
const EXCEPTIONS = [/words\.test\.ts$/, /^docs\/decisions\//, /^docs\/performance/, /^bench\/results\//]

function textFiles (): string[] {
  const inFolders = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))
  )
  return [...inFolders, ...FILES].filter(
    (file) => /(\.(ts|js|md|html)|\.env\.example)$/.test(file) && !EXCEPTIONS.some((exception) => exception.test(file))
  )
}

t.test('the words of the style page are kept', (t) => {
  const found = textFiles().flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        WORDS.filter(([word]) => word.test(line)).map(
          ([word, plain]) => `${file}:${index + 1} ${word.source}: ${plain}`
        )
      )
  )
  t.same(found, [])
  t.end()
})
