/** A record as one line of JSON: maps become objects, times become ISO strings. */
export function toJsonLine(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (inner instanceof Map) return Object.fromEntries(inner)
    return key.endsWith('TimeMs') && typeof inner === 'number'
      ? new Date(inner).toISOString()
      : inner
  })
}
