// Mirrors the users' requests to the canary: on each http route that splits, and removes the mirrors again. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import type { Destination, HttpRoute, VirtualService } from '../../cluster/objects.ts'
import { canaryDestination, splitsIn, withAllRoutes, type Split } from '../../policies/routes.ts'

/**
 * Marks an object whose mirrors are ours, with their share in per cent: users may mirror to the same version
 * themselves.
 */
const mirrorAnnotation = 'mesh-canary.io/mirror'
const annotationPath = `/metadata/annotations/${mirrorAnnotation.replace('/', '~1')}`

/**
 * The JSON Patch that sends the canary copies of `percent` of the requests or, with undefined, removes our mirrors.
 * @throws Error if the user has a mirror on such a route.
 */
export function mirrorPatch(object: VirtualService, split: Split, percent: number | undefined): PatchOperation[] {
  return percent === undefined ? removeMirror(object, split) : addMirror(object, split, percent)
}

function addMirror(object: VirtualService, split: Split, percent: number): PatchOperation[] {
  const { name, annotations } = object.metadata
  const routes = httpSplits(object, split)
  if (routes.length === 0) return []
  const conflict = routes.find(({ route, isMirroredByUs }) => hasMirror(route) && !isMirroredByUs)
  if (conflict)
    throw new Error(
      `the ${titleOf(conflict)} of the VirtualService ${split.namespace}/${name} already has a mirror, ` +
        'and a route can have only one; remove that mirror, or remove `mirror` from the canary',
    )
  if (annotations?.[mirrorAnnotation] === String(percent) && routes.every((each) => each.isMirroredByUs)) return []
  return [
    ...(annotations ? [] : [{ op: 'add' as const, path: '/metadata/annotations', value: {} }]),
    { op: 'add', path: annotationPath, value: String(percent) },
    ...routes.flatMap(({ path, destination }): PatchOperation[] => [
      { op: 'add', path: `${path}/mirror`, value: destination },
      { op: 'add', path: `${path}/mirrorPercentage`, value: { value: percent } },
    ]),
  ]
}

/** Removes the mirror from all routes, because the named routes may have changed. */
function removeMirror(object: VirtualService, split: Split): PatchOperation[] {
  if (!hasManagedMirror(object)) return []
  const mirrored = httpSplits(object, withAllRoutes(split)).filter(({ isMirroredByUs }) => isMirroredByUs)
  return [
    { op: 'remove', path: annotationPath },
    ...mirrored.flatMap(({ path }): PatchOperation[] => [
      { op: 'remove', path: `${path}/mirror` },
      { op: 'remove', path: `${path}/mirrorPercentage` },
    ]),
  ]
}

type HttpSplit = { index: number; path: string; route: HttpRoute; destination: Destination; isMirroredByUs: boolean }

function httpSplits(object: VirtualService, split: Split): HttpSplit[] {
  const ourPercentage = { value: Number(object.metadata.annotations?.[mirrorAnnotation]) }
  return splitsIn(object, split)
    .filter(({ section }) => section === 'http')
    .map((each) => {
      const route = object.spec.http![each.index]!
      const destination = canaryDestination(object, each)
      const isMirroredByUs =
        isDeepStrictEqual(route['mirror'], destination) && isDeepStrictEqual(route['mirrorPercentage'], ourPercentage)
      return { index: each.index, path: `/spec/http/${each.index}`, route, destination, isMirroredByUs }
    })
}

export function hasManagedMirror({ metadata }: VirtualService): boolean {
  return metadata.annotations?.[mirrorAnnotation] !== undefined
}

function hasMirror(route: HttpRoute): boolean {
  return 'mirror' in route || 'mirrors' in route
}

function titleOf({ route: { name }, index }: HttpSplit): string {
  return name === undefined ? `http route ${index + 1}` : `route ${name}`
}
