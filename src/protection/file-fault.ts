/** A file could not be made sense of: trying again does not help. */
export class FileFault extends Error {}
