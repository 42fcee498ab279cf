import t from 'tap'
import { fingerprintOf, isSameRequest } from '../../../src/idempotency/fingerprint.js'
import { parseIdempotencyKey } from '../../../src/idempotency/idempotency-key.js'

t.test('a key is visible ASCII, with or without quotes', async (t) => {
  const uuid = '8e03978e-40d5-43e8-bc93-6894a57f9324'
  const cases: Array<[header: string, key: string | undefined]> = [
    [uuid, uuid],
    [`"${uuid}"`, uuid],
    ['a', 'a'],
    ['x'.repeat(255), 'x'.repeat(255)],
    ['x'.repeat(256), undefined],
    ['', undefined],
    ['""', undefined],
    ['"', undefined],
    ['"a', undefined],
    ['a b', undefined],
    ['a, b', undefined],
    ['a\\b', undefined],
    ['ä', undefined],
    ['a\tb', undefined]
  ]
  for (const [header, key] of cases) t.equal(parseIdempotencyKey(header), key, JSON.stringify(header).slice(0, 40))
})

t.test('a fingerprint is of the content, not of the order of its fields', async (t) => {
  const of = (fields: unknown, files: Array<string | undefined> = [], operation = 'POST /course') =>
    fingerprintOf({ operation, fields, files })
  t.equal(of({ a: 1, b: [{ d: 2, c: 3 }] }), of({ b: [{ c: 3, d: 2 }], a: 1 }))
  const others = [{ a: 2, b: 1 }, { a: '1' }, { a: 1, b: null }, [1], null, { a: [2, 1] }]
  t.equal(new Set([...others, { a: 1 }, { a: [1, 2] }].map((fields) => of(fields))).size, others.length + 2)
  t.notOk(isSameRequest(of({}), of({}, [], 'POST /media')), 'another operation')
  t.notOk(isSameRequest(of({}, ['aa']), of({}, ['bb'])), 'another file')
  t.notOk(isSameRequest(of({}, ['aa']), of({}, ['aa', 'aa'])), 'another number of files')
  t.ok(isSameRequest(of({}, ['aa', undefined]), of({}, ['aa', 'bb'])), 'a refused file was not read whole')
  t.notOk(isSameRequest(of({ x: 1 }, [undefined]), of({ x: 2 }, [undefined])))
})
