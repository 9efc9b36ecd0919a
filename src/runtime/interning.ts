/**
 * Keeps one value for each key. Values that nobody needs any more stay until there are `maxKnown`; then those that are
 * still used come again.
 */
export function createInterner<T>(maxKnown: number): (key: string, create: (key: string) => T) => T {
  const known = new Map<string, T>()
  return (key, create) => {
    const before = known.get(key)
    if (before !== undefined) return before
    if (known.size >= maxKnown) known.clear()
    // A slice of a text keeps the whole text in memory; a copy does not.
    const copy = Buffer.from(key).toString()
    const value = create(copy)
    known.set(copy, value)
    return value
  }
}
