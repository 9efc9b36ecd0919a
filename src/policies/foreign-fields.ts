// Finds what others have added to a policy: server-side apply keeps their fields, so a dry run shows no change. Pure.
import { groupOf, type KubeObject } from '../cluster/objects.ts'

/**
 * The fields of `live` that a manager outside `own` has set and that `object` lacks, each as `"kubectl-edit" has set
 * .spec.rules`. Only for Istio's kinds: controllers complete the other kinds. Labels and annotations may have any owner.
 */
export function foreignFields(
  object: KubeObject & { spec?: unknown },
  live: KubeObject,
  own: readonly string[],
): string[] {
  if (!groupOf(object.apiVersion).endsWith('.istio.io')) return []
  return (live.metadata.managedFields ?? [])
    .filter(({ manager = '', subresource }) => subresource === undefined && !own.includes(manager))
    .flatMap(({ manager, fieldsV1 }) =>
      missing(object.spec ?? {}, fieldsV1?.['f:spec'], '.spec').map((path) => `"${manager}" has set ${path}`),
    )
}

/** `fields`: as in managedFields. A list without keys is one value, which the API server protects as a whole. */
function missing(wanted: unknown, fields: unknown = {}, path: string): string[] {
  if (wanted === undefined) return [path]
  return Object.entries(fields as object).flatMap(([name, inside]) => {
    if (name.startsWith('f:'))
      return missing((wanted as Record<string, unknown>)[name.slice(2)], inside, `${path}.${name.slice(2)}`)
    return name.startsWith('k:') ? missing(itemOf(wanted, name.slice(2)), inside, `${path}[${name.slice(2)}]`) : []
  })
}

/** `key`: such as `{"name":"http"}`. */
function itemOf(list: unknown, key: string): unknown {
  const pairs = Object.entries(JSON.parse(key) as object)
  const items = Array.isArray(list) ? (list as Record<string, unknown>[]) : []
  return items.find((item) => pairs.every(([name, value]) => item[name] === value))
}
