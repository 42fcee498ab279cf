import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import fp from 'fastify-plugin'

/** Bodies are taken at their word: `5` is no title. Query strings and paths are text, so numbers in them are read. */
export default fp(async (app) => {
  const [strict, coercing] = [false, true].map((coerceTypes) => {
    const ajv = new Ajv({ coerceTypes, useDefaults: true, removeAdditional: false, allErrors: true, verbose: true, strict: false })
    addFormats.default(ajv, ['email', 'date', 'date-time', 'uuid', 'uri', 'uri-reference'])
    return ajv.addFormat('web-address', isWebAddress)
  }) as [Ajv, Ajv]
  app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? strict : coercing).compile(schema))
}, { name: 'validation' })

function isWebAddress (value: string): boolean {
  if (/[\p{Cc}\p{Cs}\s]/u.test(value) || !URL.canParse(value)) return false
  const { protocol, username, password } = new URL(value)
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === ''
}
