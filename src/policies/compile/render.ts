// Formats single values for Istio's objects.

/** A duration in Istio's format: in seconds if it is whole, otherwise in milliseconds. */
export function seconds(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }
/** The object without its undefined values; undefined if none are left. */
export function defined<T extends object>(object: T): Defined<T> | undefined {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return entries.length > 0 ? (Object.fromEntries(entries) as Defined<T>) : undefined
}
