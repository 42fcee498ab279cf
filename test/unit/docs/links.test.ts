import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...markdownIn('docs'), ...markdownIn('docs/decisions')]
/** A path of this repository as pages name it, with its folder or without. */
const SOURCE = /^(src|plugins|routes|migrations|test|bench|demo|deploy|web)\/[\w./-]+$/

function markdownIn (folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
}

/** The anchors of a page, by GitHub's rule: lower case, spaces as hyphens, no punctuation. */
function anchorsOf (page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
  )
}

t.test('every relative link of a page leads to a file, and its anchor to a heading', (t) => {
  for (const page of PAGES) {
    for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue
      const [path, anchor] = target!.split('#') as [string, string?]
      const file = path === '' ? page : join(dirname(page), path)
      t.ok(existsSync(file), `${page}: ${target}`)
      if (anchor !== undefined) t.ok(anchorsOf(file).includes(anchor), `${page}: ${target}`)
    }
  }
  t.end()
})

t.test('every path of this repository that a page names exists', (t) => {
  for (const page of PAGES) {
    for (const [, path] of readFileSync(page, 'utf8').matchAll(/`([^`\n]+)`/g)) {
      if (SOURCE.test(path!)) t.ok(existsSync(path!), `${page}: ${path}`)
    }
  }
  t.end()
})

t.test('decision records have one number each', (t) => {
  const numbers = readdirSync('docs/decisions').map((name) => name.slice(0, 4))
  t.same(numbers, [...new Set(numbers)])
  t.end()
})
