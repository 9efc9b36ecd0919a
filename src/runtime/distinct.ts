// Drops repeated values. Pure.

/** The last of each, in the order of the first; values are the same if their JSON is. */
export function distinct<T extends object>(all: readonly T[]): T[] {
  return [...new Map(all.map((each) => [JSON.stringify(each), each])).values()]
}
