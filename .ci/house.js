// Reports loose files, long files, long functions and long lines. This is a report, not a gate: ESLint checks the line
// lengths of the product. Usage: `node .ci/house.js`.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

const PRODUCT = ['src', 'plugins', 'routes', 'migrations']
const FOLDERS = [...PRODUCT, 'test', 'bench', 'demo', 'web']
const MAX_LOOSE_FILES = 8
const MAX_FUNCTION_LINES = 60
const MAX_FILE_LINES = 250
const MAX_LINE_LENGTH = 120

const filesOf = (folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|js)$/.test(name))
    .map((name) => join(folder, name))
const linesOf = (file) => readFileSync(file, 'utf8').trimEnd().split('\n')

/** Returns the functions of a file with more than MAX_FUNCTION_LINES lines. */
function longFunctions (file) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const found = []
  const lineOf = (position) => source.getLineAndCharacterOfPosition(position).line + 1
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body !== undefined) {
      const [first, last] = [lineOf(node.getStart()), lineOf(node.end)]
      const name = node.name?.getText() ?? node.parent.name?.getText() ?? 'anonymous'
      if (last - first + 1 > MAX_FUNCTION_LINES) found.push(`${file}:${first} ${name} (${last - first + 1} lines)`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function report (title, items) {
  console.log(`${items.length === 0 ? 'ok  ' : 'MORE'}  ${title}: ${items.length}`)
  for (const item of items) console.log(`      ${item}`)
}

/** Returns whether a line is too long. As in ESLint, a line with only a regular expression may be longer. */
const isLong = (line) => line.length > MAX_LINE_LENGTH && !/^\s*\/.*\/[a-z]*,?$/.test(line)

const product = PRODUCT.flatMap(filesOf)
const lengths = product.map((file) => linesOf(file).length).sort((a, b) => a - b)
const loose = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isFile())
console.log(`${product.length} files of the product, ${lengths.reduce((sum, length) => sum + length, 0)} lines`)
console.log(`median ${lengths[lengths.length >> 1]} lines a file, longest ${lengths.at(-1)}`)
const appLines = linesOf('src/app.ts').length
console.log(`loose files in src/: ${loose.length} (at most ${MAX_LOOSE_FILES}); src/app.ts: ${appLines} lines`)
report(`files over ${MAX_FILE_LINES} lines`, product.filter((file) => linesOf(file).length > MAX_FILE_LINES))
report(`functions over ${MAX_FUNCTION_LINES} lines`, product.flatMap(longFunctions))
const longLines = FOLDERS.flatMap(filesOf).flatMap((file) =>
  linesOf(file).flatMap((line, index) => (isLong(line) ? [`${file}:${index + 1}`] : []))
)
report(`lines over ${MAX_LINE_LENGTH} characters`, longLines)
