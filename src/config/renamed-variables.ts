/** The earlier names of variables. They still work. */
const NEW_NAMES: Record<string, string> = {
  MAX_UPLOADS: 'MAX_CONCURRENT_UPLOADS',
  MAX_UPLOADS_PER_ACCOUNT: 'MAX_CONCURRENT_UPLOADS_PER_ACCOUNT',
  MAX_UPLOADS_PER_ADDRESS: 'MAX_CONCURRENT_UPLOADS_PER_ADDRESS',
  MAX_STREAMS: 'MAX_CONCURRENT_STREAMS',
  MAX_STREAMS_PER_ACCOUNT: 'MAX_CONCURRENT_STREAMS_PER_ACCOUNT',
  MAX_STREAMS_PER_ADDRESS: 'MAX_CONCURRENT_STREAMS_PER_ADDRESS',
  MAX_STREAMS_PER_LINK: 'MAX_CONCURRENT_STREAMS_PER_LINK'
}

export const OLD_VARIABLES: readonly string[] = Object.keys(NEW_NAMES)

/**
 * Returns the variables by their new names, and the old names that were set. Adds a problem if a variable is set by
 * both names.
 */
export function renameVariables (
  given: Record<string, string>,
  problems: string[]
): { variables: Record<string, string>; oldNames: string[] } {
  const variables = { ...given }
  const oldNames = OLD_VARIABLES.filter((name) => name in given)
  for (const oldName of oldNames) {
    const name = NEW_NAMES[oldName]!
    if (name in given) problems.push(`${oldName} is the old name of ${name}: set only the new one`)
    else variables[name] = given[oldName]!
    delete variables[oldName]
  }
  return { variables, oldNames }
}

/** Returns the warning about old names of variables. */
export function renamedWarning (oldNames: readonly string[]): string {
  const names = oldNames.map((oldName) => `${oldName} to ${NEW_NAMES[oldName]}`)
  return `variables have new names, and the old ones may stop working: rename ${names.join(', ')}`
}
