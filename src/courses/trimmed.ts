/** Returns the fields with their strings trimmed. */
export function trimmed<T extends object> (fields: T): T {
  const trim = (value: unknown) => (typeof value === 'string' ? value.trim() : value)
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, trim(value)])) as T
}
