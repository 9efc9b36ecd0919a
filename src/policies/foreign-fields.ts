// Finds what others have added to a policy: server-side apply keeps their fields, so a dry run shows no change. Pure.
import { groupOf, type KubeObject } from '../cluster/objects.ts'

/** `path`: below `spec`; an item of a list as its keys in brackets, such as `[{"name":"http"}]`. */
export type ForeignField = { manager: string; path: string[] }

/**
 * The fields of `live` that a manager outside `own` has set and that `object` lacks. Only for Istio's kinds: controllers
 * complete the other kinds. Labels and annotations may have any owner.
 */
export function foreignFields(
  object: KubeObject & { spec?: unknown },
  live: KubeObject,
  own: readonly string[],
): ForeignField[] {
  if (!groupOf(object.apiVersion).endsWith('.istio.io')) return []
  return (live.metadata.managedFields ?? [])
    .filter(({ manager = '', subresource }) => subresource === undefined && !own.includes(manager))
    .flatMap(({ manager = '', fieldsV1 }) =>
      missing(object.spec ?? {}, fieldsV1?.['f:spec']).map((path) => ({ manager, path })),
    )
}

/** `"kubectl-edit" has set .spec.rules`. */
export function foreignFieldText({ manager, path }: ForeignField): string {
  return `"${manager}" has set .spec${path.map((name) => (name.startsWith('[') ? name : `.${name}`)).join('')}`
}

/** A merge patch that takes the fields away; undefined for an item of a list, which it cannot name. */
export function removalOf(fields: readonly ForeignField[]): { spec: object } | undefined {
  if (fields.some(({ path }) => path.some((name) => name.startsWith('[')))) return undefined
  const spec = {}
  for (const { path } of fields) {
    let parent: Record<string, unknown> = spec
    for (const name of path.slice(0, -1)) parent = (parent[name] ??= {}) as Record<string, unknown>
    parent[path.at(-1)!] = null
  }
  return { spec }
}

/** The object after the merge patch. */
export function without<T extends object>(object: T, patch: object): T {
  const changed = Object.entries(patch).flatMap(([name, inside]: [string, object | null]) => {
    const value = (object as Record<string, unknown>)[name]
    return inside !== null && typeof value === 'object' && value !== null ? [[name, without(value, inside)]] : []
  })
  const kept = Object.entries(object).filter(([name]) => (patch as Record<string, unknown>)[name] !== null)
  return { ...Object.fromEntries(kept), ...Object.fromEntries(changed) } as T
}

/** `fields`: as in managedFields. A list without keys is one value, which the API server protects as a whole. */
function missing(wanted: unknown, fields: unknown = {}): string[][] {
  if (wanted === undefined || wanted === null) return [[]]
  return Object.entries(fields as object).flatMap(([name, inside]) => {
    const key = name.slice(2)
    if (name.startsWith('f:'))
      return missing((wanted as Record<string, unknown>)[key], inside).map((path) => [key, ...path])
    return name.startsWith('k:') ? missing(itemOf(wanted, key), inside).map((path) => [`[${key}]`, ...path]) : []
  })
}

/** `key`: such as `{"name":"http"}`. */
function itemOf(list: unknown, key: string): unknown {
  const pairs = Object.entries(JSON.parse(key) as object)
  const items = Array.isArray(list) ? (list as (Record<string, unknown> | null)[]) : []
  return items.find((item) => pairs.every(([name, value]) => item?.[name] === value))
}
