// Tells without a request whether a server-side apply would change nothing: the API server records which fields each
// manager has applied. Pure.
import { isDeepStrictEqual } from 'node:util'
import { fieldManager } from '../cluster/client.ts'
import type { KubeObject } from '../cluster/objects.ts'
import { isMap } from '../runtime/is-map.ts'

/**
 * True if this program applied exactly the fields of `object` before, and all of them still have these values in `live`.
 * False if that is not certain; then a dry run decides.
 * @see https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
export function isInForce(object: KubeObject, live: KubeObject): boolean {
  const applied = live.metadata.managedFields?.find(
    ({ manager, operation, subresource }) =>
      manager === fieldManager && operation === 'Apply' && subresource === undefined,
  )
  return applied?.fieldsV1 !== undefined && isCovered(withoutIdentity(object), live, applied.fieldsV1)
}

/** What names the object, and the version that was read, are no fields that anybody applies. */
function withoutIdentity({ apiVersion: _, kind: __, metadata, ...body }: KubeObject): object {
  const { name: _name, namespace: _namespace, resourceVersion: _version, ...marks } = metadata
  return { ...body, ...(Object.keys(marks).length > 0 ? { metadata: marks } : {}) }
}

/** `fields`: `{ "f:spec": { "f:http": {} } }`; an empty one is a value as a whole. */
function isCovered(wanted: unknown, live: unknown, fields: object): boolean {
  const names = Object.keys(fields).filter((name) => name !== '.')
  if (names.length === 0) return isDeepStrictEqual(wanted, live)
  if (!isMap(wanted) || !isMap(live)) return false
  // The other forms name the entries of a list by their keys.
  if (names.some((name) => !name.startsWith('f:'))) return false
  const keys = names.map((name) => name.slice(2))
  const known = new Set(keys)
  return (
    Object.keys(wanted).every((key) => known.has(key)) &&
    keys.every((key) => key in wanted && isCovered(wanted[key], live[key], fieldsAt(fields, key)))
  )
}

function fieldsAt(fields: object, key: string): object {
  return (fields as Record<string, object>)[`f:${key}`] ?? {}
}
