// An object that a fault changes or creates, and how it becomes what it was before. Plain data, because the guard and
// the post step need it as well. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import { kindOf, type HttpRoute, type Kind, type KubeObject } from '../../cluster/objects.ts'
import { faultRouteName } from '../../config/names.ts'
import { isAsWritten, isChanged, withoutFields, type ChangedField } from './changed-fields.ts'

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

/** True if another experiment has marked the object. */
export function isForeign(object: KubeObject, identity: string | undefined): boolean {
  const holder = markedObject(object)?.mark.identity
  return identity !== undefined && holder !== undefined && holder !== identity
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
    ...(undo.kind === 'fields' ? fieldUndo(object as KubeObject & { spec: object }, undo.fields) : []),
  ]
}

function routesOf(object: KubeObject): HttpRoute[] {
  return (object as { spec?: { http?: HttpRoute[] } }).spec?.http ?? []
}

function faultRoutes(object: KubeObject): HttpRoute[] {
  return routesOf(object).filter(({ name }) => name === faultRouteName)
}

/** From the last to the first, as each removal changes the indices after it. */
function routeRemovals(object: KubeObject): PatchOperation[] {
  return routesOf(object)
    .flatMap(({ name }, i): PatchOperation[] =>
      name === faultRouteName ? [{ op: 'remove', path: `/spec/http/${i}` }] : [],
    )
    .reverse()
}

/** Nothing if somebody has changed all of them since: that is theirs now. */
function fieldUndo(object: KubeObject & { spec: object }, fields: ChangedField[]): PatchOperation[] {
  if (!fields.some((field) => isChanged(object, field))) return []
  return [{ op: 'replace', path: '/spec', value: withoutFields(object, fields).spec }]
}

/** The object without the limits of an experiment that has left them; a run takes them back before it writes its own. */
export function withoutLeftLimits<T extends KubeObject>(object: T): T {
  const undo = markedObject(object)?.mark.undo
  return undo?.kind === 'fields' ? withoutFields(object, undo.fields) : object
}

/** True while the object still has all that the fault wrote. `written`: the API server's answer to that. */
export function isIntact(object: KubeObject | undefined, { undo }: FaultObject, written: KubeObject): boolean {
  if (!object) return false
  if (undo.kind === 'delete') {
    const { deletionTimestamp, generation } = object.metadata
    return deletionTimestamp === undefined && generation === written.metadata.generation
  }
  if (undo.kind === 'routes') return isDeepStrictEqual(faultRoutes(object), faultRoutes(written))
  return undo.fields.every((field) => isAsWritten(object, field))
}
