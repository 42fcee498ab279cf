/** An EBML element (RFC 8794, 4 to 6): its id, and where its content starts. */
export interface Element {
  id: number
  start: number
  /** Infinity if unknown. */
  size: number
}

/** Returns the head of an element, or undefined if none is there. */
export function elementAt (bytes: Buffer, position: number): Element | undefined {
  const idLength = Math.clz32(bytes[position] ?? 0) - 23
  if (idLength > 4 || position + idLength >= bytes.length) return undefined
  const size = vintAt(bytes, position + idLength)
  if (size === undefined) return undefined
  const start = position + idLength + size.length
  return { id: bytes.readUIntBE(position, idLength), start, size: size.value }
}

/** Yields the elements between two positions, up to the first that is none. */
export function * elementsIn (bytes: Buffer, start: number, end: number): Generator<Element> {
  for (let position = start; position < Math.min(end, bytes.length);) {
    const element = elementAt(bytes, position)
    if (element === undefined) return
    yield element
    position = element.start + element.size
  }
}

/** An integer of variable length (RFC 8794, 4). All bits set means unknown. */
export function vintAt (bytes: Buffer, position: number): { value: number; length: number } | undefined {
  const length = Math.clz32(bytes[position] ?? 0) - 23
  if (length > 8 || position + length > bytes.length) return undefined
  let value = bytes[position]! & (0xff >> length)
  let isUnknown = value === 0xff >> length
  for (let i = 1; i < length; i++) {
    value = value * 256 + bytes[position + i]!
    isUnknown &&= bytes[position + i] === 0xff
  }
  return { value: isUnknown ? Infinity : value, length }
}

export function unsignedAt (bytes: Buffer, start: number, size: number): number | undefined {
  if (size > 8 || size === 7 || size < 1 || start + size > bytes.length) return undefined
  if (size === 8) return Number(bytes.readBigUInt64BE(start))
  return bytes.readUIntBE(start, size)
}
