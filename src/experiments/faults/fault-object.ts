// An object that a fault changes or creates, and how it becomes what it was before. Plain data, because the guard and
// the post step need it as well. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import { kindOf, type HttpRoute, type Kind, type KubeObject } from '../../cluster/objects.ts'
import { faultRouteName } from '../../config/names.ts'

/** A field that the fault changes. Without `before` it did not exist. */
export type ChangedField = { path: string; before?: unknown; wrote: unknown }

/** `delete`: the fault created it. `routes`: our routes leave it. `fields`: those that still are as the fault wrote them. */
export type Undo = { kind: 'delete' } | { kind: 'routes' } | { kind: 'fields'; fields: ChangedField[] }

export type FaultObject = { kind: Kind; namespace: string; name: string; undo: Undo }

/** On each object that a fault changes or creates: whose it is, and how to restore the object. */
export const experimentAnnotation = 'mesh-canary.io/experiment'
const annotationPath = `/metadata/annotations/${experimentAnnotation.replace('/', '~1')}`

/** `identity`: the holder of the Lease `lease` that injected the fault. */
export type FaultMark = { experiment: string; lease: string; identity: string; undo: Undo }

export function markedObject(object: KubeObject): { fault: FaultObject; mark: FaultMark } | undefined {
  const text = object.metadata.annotations?.[experimentAnnotation]
  const kind = kindOf(object)
  if (text === undefined || kind === undefined) return undefined
  const { name, namespace = '' } = object.metadata
  try {
    const mark = JSON.parse(text) as FaultMark
    return { mark, fault: { kind, namespace, name, undo: mark.undo } }
  } catch {
    return undefined
  }
}

/** The part of a JSON Patch that marks the object. */
export function markPatch({ metadata }: KubeObject, mark: FaultMark): PatchOperation[] {
  const value = JSON.stringify(mark)
  return metadata.annotations
    ? [{ op: 'add', path: annotationPath, value }]
    : [{ op: 'add', path: '/metadata/annotations', value: { [experimentAnnotation]: value } }]
}

/** The JSON Patch that restores the object as it is now; empty if nothing of the fault is left in it. */
export function undoPatch(object: KubeObject, undo: Undo): PatchOperation[] {
  const marks = object.metadata.annotations?.[experimentAnnotation] !== undefined
  return [
    ...(marks ? [{ op: 'remove' as const, path: annotationPath }] : []),
    ...(undo.kind === 'routes' ? routeRemovals(object) : []),
    ...(undo.kind === 'fields' ? undo.fields.flatMap((field) => fieldUndo(object, field)) : []),
  ]
}

/** From the last to the first, as each removal changes the indices after it. */
function routeRemovals(object: KubeObject): PatchOperation[] {
  const { http = [] } = (object as { spec?: { http?: HttpRoute[] } }).spec ?? {}
  return http
    .flatMap(({ name }, i): PatchOperation[] =>
      name === faultRouteName ? [{ op: 'remove', path: `/spec/http/${i}` }] : [],
    )
    .reverse()
}

/** Nothing if the fault did not change it, or if somebody has changed it since: that is theirs now. */
function fieldUndo(object: KubeObject, { path, before, wrote }: ChangedField): PatchOperation[] {
  if (isDeepStrictEqual(before, wrote) || !isDeepStrictEqual(valueAt(object, path), wrote)) return []
  return before === undefined ? [{ op: 'remove', path }] : [{ op: 'replace', path, value: before }]
}

/** True while the object still has what the fault wrote into it. */
export function isIntact(object: KubeObject | undefined, { undo }: FaultObject): boolean {
  if (!object) return false
  if (undo.kind === 'delete') return object.metadata.deletionTimestamp === undefined
  if (undo.kind === 'routes') return routeRemovals(object).length > 0
  return undo.fields.every(({ path, wrote }) => isDeepStrictEqual(valueAt(object, path), wrote))
}

function valueAt(object: object, path: string): unknown {
  return path
    .slice(1)
    .split('/')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], object)
}
