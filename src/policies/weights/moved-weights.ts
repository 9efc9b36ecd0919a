// Marks the versions whose weights a promotion has moved, on the object that holds them. From then on the weights are
// state, and the policies keep them (kept-weights.ts). The mark is written together with the weights, so that neither
// can be there without the other. Pure.
import type { PatchOperation } from '../../cluster/client.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import { splitsIn, targetKey, weightPatch, type Routed, type Split } from '../routes.ts'

/** Its value: the versions, such as `backend.shop.svc.cluster.local/v1, backend.shop.svc.cluster.local/v2`. */
export const movedAnnotation = 'mesh-canary.io/moved-weights'
const annotationPath = `/metadata/annotations/${movedAnnotation.replace('/', '~1')}`

/** The JSON Patch that gives the canary its weight (see `weightPatch`), and marks the versions if it moves any. */
export function movePatch(object: Routed, split: Split, weight: number): PatchOperation[] {
  const moves = weightPatch(object, split, weight)
  return moves.length === 0 ? [] : [...moves, ...markPatch(object, split)]
}

/** The versions that a promotion has moved, by their keys (see `targetKey`). */
export function movedVersions({ metadata }: KubeObject): string[] {
  return (metadata.annotations?.[movedAnnotation] ?? '').split(', ').filter(Boolean)
}

function markPatch(object: Routed, split: Split): PatchOperation[] {
  const before = movedVersions(object)
  const versions = splitsIn(object, split).flatMap(({ targets, stable, canary }) =>
    [...stable, ...canary].map((i) => targetKey(targets[i]!)),
  )
  const all = [...new Set([...before, ...versions])]
  if (all.length === before.length) return []
  return [
    ...(object.metadata.annotations ? [] : [{ op: 'add' as const, path: '/metadata/annotations', value: {} }]),
    { op: 'add', path: annotationPath, value: all.join(', ') },
  ]
}
