// The difference between two states of an object, as lines for people. Pure.
import { isDeepStrictEqual } from 'node:util'
import { diffLines, leafChanges } from '../cluster/leaves.ts'
import type { KubeObject } from '../cluster/objects.ts'

/** The parts of an object that users write; an apply may change the field managers, and nothing else. */
function userParts(object: KubeObject & Partial<Record<(typeof bodyKeys)[number], unknown>>): Record<string, unknown> {
  const { labels, annotations } = object.metadata
  return { labels, annotations, ...Object.fromEntries(bodyKeys.map((key) => [key, object[key]])) }
}

const bodyKeys = ['spec', 'data', 'rules', 'roleRef', 'subjects'] as const

export function isUnchanged(before: KubeObject, after: KubeObject): boolean {
  return isDeepStrictEqual(userParts(before), userParts(after))
}

/** Lines such as `- spec.http[0].timeout: 10s` and `+ spec.http[0].timeout: 5s`, in the order of the newer state. */
export function diff(before: KubeObject | undefined, after: KubeObject | undefined): string[] {
  const partsOf = (object: KubeObject | undefined) => (object ? userParts(object) : undefined)
  return diffLines(leafChanges(partsOf(before), partsOf(after)))
}
