import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

export const fixtures = resolve('test/fixtures')
export const fixture = (name: string) => readFile(join(fixtures, name))
