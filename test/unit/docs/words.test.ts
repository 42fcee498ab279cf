import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

type Word = [RegExp, string]

/** Words that the project does not use anywhere, and the plain word for each. */
const WORDS: Word[] = [
  [/\banew\b/i, 'again'],
  [/\bfor ever\b/i, 'forever'],
  [/\bheld against\b/i, 'compared with'],
  [/\bof ours\b/i, 'our …'],
  [/\bso many\b/i, 'this many, or the number'],
  [/\banswers the\b/i, 'returns the'],
  [/\blets? go\b/i, 'release'],
  [/\bmend(s|ed|ing)?\b/i, 'fix'],
  [/\balone\b/i, 'only, before what it limits']
]
/** Words that pages do not use. */
const PAGE_WORDS: Word[] = [
  [/\bjudge[sd]?\b/i, 'verify, check or decide'],
  [/\banswer(s|ed)\b/i, 'returns, responds, sends'],
  [/\bfigures stay\b/i, 'totals stay'],
  [/\bno more than\b/i, 'at most'],
  [/\bwho has (one|it)\b/i, 'the holder'],
  [/\b(CONTRACT|DESIGN) §/, 'a file of this repository, an RFC or a URL']
]
const FOLDERS = ['src', 'plugins', 'routes', 'web', 'bench', 'demo', 'docs', 'deploy', 'test']
const FILES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', '.env.example', 'compose.yaml', 'Dockerfile']
const TEXT = /(\.(ts|js|mjs|md|html|yaml|conf|inc)|\.env\.example|Dockerfile)$/
const PAGE = /(\.(md|yaml|conf|inc)|\.env\.example|Dockerfile)$/
const EXCEPTIONS = [
  // This list itself.
  /words\.test\.ts$/,
  // Raw results, as they were measured.
  /^bench\/results\//
]

function textFiles (): string[] {
  const inFolders = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))
  )
  return [...inFolders, ...FILES].filter(
    (file) => TEXT.test(file) && !EXCEPTIONS.some((exception) => exception.test(file))
  )
}

function findWords (file: string, words: Word[]): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, index) =>
      words.filter(([word]) => word.test(line)).map(([word, plain]) => `${file}:${index + 1} ${word.source}: ${plain}`)
    )
}

t.test('the words of the style page are kept', (t) => {
  t.same(textFiles().flatMap((file) => findWords(file, PAGE.test(file) ? [...WORDS, ...PAGE_WORDS] : WORDS)), [])
  t.end()
})
