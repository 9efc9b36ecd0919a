// The order in which objects were created: of several that exclude each other, Istio follows the oldest. Pure.
import type { KubeObject } from './objects.ts'

/**
 * Of two objects of the same second, Istio follows the one whose name comes first. An object without a timestamp is not
 * written yet, so it is younger than all others.
 */
export function isOlder(a: KubeObject, b: KubeObject): boolean {
  const age = ({ metadata: { creationTimestamp = 'z', name } }: KubeObject) => `${creationTimestamp} ${name}`
  return age(a) < age(b)
}

export function oldestFirst<T extends KubeObject>(objects: readonly T[]): T[] {
  return objects.toSorted((a, b) => (isOlder(a, b) ? -1 : 1))
}
