import { Type, type TObject } from '@sinclair/typebox'
import type { Readable } from 'node:stream'

/** The destination of the files of a form. */
export interface FileSink<F> {
  /** Receives the bytes of a file as they arrive. */
  receive(source: Readable): Promise<F>
  /** Undoes {@link receive} if the form is refused. */
  discard(received: F): Promise<void>
  /** Returns the SHA-256 of a received file in hex; undefined for a file that was not read whole. */
  digestOf(received: F): string | undefined
}

/** The file field of a form. */
interface FileField {
  name: string
  /** Other accepted names of the file field. The API description omits them. */
  aliases?: string[]
  /** With more than one, the field is an array. */
  maxFiles?: number
}

/** The schemas of a form without their types, because the options of a route are already generic. */
export interface FormSchemas {
  /** The schema of the text fields. */
  fields: object
  /** The schema of the whole form, for the API description. */
  schema: object
}

/** A multipart form. The parser and the API description use it. */
export interface FormDefinition<T extends TObject> extends FormSchemas {
  fields: T
  /** Every accepted name of the file field. The first name is in the API description. */
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
