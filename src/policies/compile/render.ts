// How single values are written in Istio's objects.

/** Istio's written form of a duration; whole milliseconds keep their unit. */
export function seconds(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }
/** The object without its undefined values; undefined when nothing is left. */
export function defined<T extends object>(object: T): Defined<T> | undefined {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return entries.length > 0 ? (Object.fromEntries(entries) as Defined<T>) : undefined
}

/** A map with every value exact. */
export function exactly(
  values: Record<string, string> | undefined,
  key = (name: string) => name,
): Record<string, { exact: string }> | undefined {
  return values && Object.fromEntries(Object.entries(values).map(([name, exact]) => [key(name), { exact }]))
}
