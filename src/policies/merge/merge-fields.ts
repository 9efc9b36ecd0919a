// Merges fields of two sources: maps key by key, lists by name; two different values are a contradiction. Pure.
import { isDeepStrictEqual } from 'node:util'
import { shownValue } from '../../config/shown.ts'
import { isMap } from '../../runtime/is-map.ts'

export type Fields = Record<string, unknown>

/** Which field is merged, from which two sources; collects the contradictions. */
export class MergeContext {
  readonly faults: string[]
  private readonly sources: readonly [string, string]
  private readonly title: string
  private readonly path: string

  constructor(faults: string[], sources: readonly [string, string], title: string, path: string) {
    this.faults = faults
    this.sources = sources
    this.title = title
    this.path = path
  }

  /** The context of a field below this one; `suffix` is appended to the path as it is. */
  at(suffix: string): MergeContext {
    return new MergeContext(this.faults, this.sources, this.title, this.path + suffix)
  }

  /** `values`: the two values, for people. */
  contradiction(values: string): void {
    const [a, b] = this.sources
    this.faults.push(
      `${this.title}: ${this.path}: ${a} and ${b} set different values (${values}); set it in one of them only`,
    )
  }
}

/** Maps are merged key by key. Anything else must be equal, or be set by one of the two only. */
export function mergeValues(a: unknown, b: unknown, context: MergeContext): unknown {
  if (a === undefined || b === undefined) return a ?? b
  if (isMap(a) && isMap(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])]
    return Object.fromEntries(keys.map((key) => [key, mergeValues(a[key], b[key], context.at(`.${key}`))]))
  }
  if (!isDeepStrictEqual(a, b)) context.contradiction(`${shownValue(a)} and ${shownValue(b)}`)
  return a
}

export type NamedItem = Fields & { name: string }

/** Merges the items of equal names, and appends those that only the second list has. */
export function mergeNamed(a: NamedItem[], b: NamedItem[], context: MergeContext): NamedItem[] {
  const merged = a.map((item) => {
    const other = b.find(({ name }) => name === item.name)
    return mergeValues(item, other, context.at(`[${item.name}]`)) as NamedItem
  })
  return [...merged, ...b.filter(({ name }) => !a.some((item) => item.name === name))]
}

export function omit(fields: Fields, ...keys: string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !keys.includes(key)))
}
