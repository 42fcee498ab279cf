import { Type, type TObject } from '@sinclair/typebox'

/** The file field of a form. */
interface FileField {
  name: string
  /** Other names under which a file is accepted. They are not described. */
  aliases?: string[]
  /** More than one makes the field an array. */
  maxFiles?: number
}

/** The schemas of a form, without their types: the options of a route are generic already. */
export interface FormSchemas {
  /** The schema of the text fields. */
  fields: object
  /** The schema of the whole form, for the API description. */
  schema: object
}

/** A multipart form: the parser reads by it, and the API description shows it. */
export interface FormDefinition<T extends TObject> extends FormSchemas {
  fields: T
  /** Every name under which a file is accepted, the described one first. */
  fileFields: [string, ...string[]]
  maxFiles: number
}

/** Defines a form of text fields and at least one file. */
export function defineForm<T extends TObject> (
  fields: T,
  { name, aliases = [], maxFiles = 1 }: FileField
): FormDefinition<T> {
  const file = Type.String({ format: 'binary' })
  const files = maxFiles === 1 ? file : Type.Array(file, { minItems: 1, maxItems: maxFiles })
  const { additionalProperties } = fields
  return {
    fields,
    fileFields: [name, ...aliases],
    maxFiles,
    schema: Type.Object({ ...fields.properties, [name]: files }, { additionalProperties })
  }
}
