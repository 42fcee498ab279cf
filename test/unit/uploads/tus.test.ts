import t from 'tap'
import { ApiError } from '../../../src/errors.js'
import { knownMetadata, parseByteCount, parseChecksum, parseMetadata } from '../../../src/uploads/tus.js'
import { metadataOf } from '../../support/tus.js'

const isRefused = (parse: () => unknown, code = 'bad_request'): boolean => {
  try {
    parse()
    return false
  } catch (error) {
    return error instanceof ApiError && error.code === code
  }
}

t.test('numbers of bytes are decimal digits and safe integers', async (t) => {
  for (const [text, count] of [
    ['0', 0],
    ['007', 7],
    ['9007199254740991', Number.MAX_SAFE_INTEGER]
  ] as const) {
    t.equal(parseByteCount('Upload-Offset', text), count)
  }
  const bad = ['', '-1', '+1', '1.0', '1e3', '0x10', ' 1', '1,1', '9007199254740992', '9'.repeat(17)]
  for (const text of [undefined, ...bad]) {
    t.ok(isRefused(() => parseByteCount('Upload-Offset', text)), String(text))
  }
})

t.test('checksums name a known algorithm and have its length', async (t) => {
  const sha1 = Buffer.alloc(20, 1)
  const sha256 = Buffer.alloc(32, 1)
  t.same(parseChecksum(`sha1 ${sha1.toString('base64')}`), { algorithm: 'sha1', digest: sha1 })
  t.same(parseChecksum(`sha256 ${sha256.toString('base64')}`), { algorithm: 'sha256', digest: sha256 })
  t.equal(parseChecksum(undefined), undefined)
  for (const text of [
    '',
    'sha1',
    'md5 AAAAAAAAAAAAAAAAAAAAAA==',
    `SHA1 ${sha1.toString('base64')}`,
    `sha1  ${sha1.toString('base64')}`,
    `sha1 ${sha256.toString('base64')}`,
    `sha1 ${sha1.toString('hex')}`,
    `sha1 ${sha1.toString('base64')} x`
  ]) {
    t.ok(isRefused(() => parseChecksum(text)), text)
  }
})

t.test('metadata are pairs of a unique key and a text in base64', async (t) => {
  t.same([...parseMetadata('title QQ==,flag, empty ')], [['title', 'A'], ['flag', ''], ['empty', '']])
  t.same([...parseMetadata('title QQ')], [['title', 'A']], 'padding is optional')
  t.same([...parseMetadata(metadataOf({ title: 'Größe 🎬' }))], [['title', 'Größe 🎬']])
  t.same([...parseMetadata(undefined)], [])
  t.same([...parseMetadata('  ')], [])
  for (const text of [
    ',',
    'title QQ==,',
    'title QQ==,title QQ==',
    'title Q',
    'title Q_==',
    'title QQ== QQ==',
    'tïtle QQ==',
    `title ${'QUFB'.repeat(2100)}`
  ]) {
    t.ok(isRefused(() => parseMetadata(text)), text.slice(0, 40))
  }
  t.ok(isRefused(() => parseMetadata(`title ${Buffer.from([0xff]).toString('base64')}`), 'validation_failed'))
})

t.test('keys of known clients are understood, and other keys are ignored', async (t) => {
  const known = (fields: Record<string, string>) => knownMetadata(new Map(Object.entries(fields)))
  t.same(known({ name: 'a.mp4', type: 'video/mp4', filetype: 'video/mp4', relativePath: 'x' }), {
    kind: 'media',
    fields: { title: 'a.mp4', filename: 'a.mp4', type: 'video' }
  })
  t.same(known({ title: 'A', filename: 'a.mp4', type: '' }).fields, { title: 'A', filename: 'a.mp4' })
  t.same(known({ title: 'A', type: 'application/pdf' }).fields, { title: 'A' }, 'the content decides')
  t.same(known({ title: 'A', type: 'image' }).fields, { title: 'A', type: 'image' }, 'is refused by the schema')
  t.same(known({ title: '' }).fields, { title: '' })
  t.same(known({ course_id: 'c', title: 'A', visibility: 'public', category: 'B' }), {
    kind: 'lecture',
    fields: { course_id: 'c', title: 'A', category: 'B' }
  })
})
