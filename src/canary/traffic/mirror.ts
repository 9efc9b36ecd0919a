// Copies of the users' requests for the canary: set on each http route that splits, and taken away again. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { PatchOperation } from '../../cluster/client.ts'
import type { HttpRoute, VirtualService } from '../../cluster/objects.ts'
import { destinationOf, withAllRoutes, placesOf, type Split } from '../../policies/routes.ts'

/** On an object whose copies to the canary are ours, with their share in per cent: a user may mirror to the same version. */
export const mirrorAnnotation = 'mesh-canary.io/mirror'
const annotationPath = `/metadata/annotations/${mirrorAnnotation.replace('/', '~1')}`

/**
 * The JSON Patch after which the canary gets copies of so many per cent, or none with undefined.
 * @throws Error where the user has a mirror of his own on such a route.
 */
export function mirrorPatch(object: VirtualService, split: Split, percent: number | undefined): PatchOperation[] {
  return percent === undefined ? withoutMirror(object, split) : withMirror(object, split, percent)
}

function withMirror(object: VirtualService, split: Split, percent: number): PatchOperation[] {
  const { name, annotations } = object.metadata
  const routes = httpOf(object, split)
  if (routes.length === 0) return []
  const theirs = routes.find(({ route, copies }) => hasMirror(route) && !copies)
  if (theirs)
    throw new Error(
      `the ${title(theirs.route, theirs.index)} of the VirtualService ${split.namespace}/${name} has a mirror already, and there can be only one; leave \`mirror\` out of the canary, or take that one away`,
    )
  const marks: PatchOperation[] = [
    ...(annotations ? [] : [{ op: 'add' as const, path: '/metadata/annotations', value: {} }]),
    { op: 'add', path: annotationPath, value: String(percent) },
  ]
  if (annotations?.[mirrorAnnotation] === String(percent) && routes.every(({ copies }) => copies)) return []
  return [
    ...marks,
    ...routes.flatMap(({ path, destination }): PatchOperation[] => [
      { op: 'add', path: `${path}/mirror`, value: destination },
      { op: 'add', path: `${path}/mirrorPercentage`, value: { value: percent } },
    ]),
  ]
}

/** Wherever it was set, whatever routes are named now. */
function withoutMirror(object: VirtualService, split: Split): PatchOperation[] {
  if (!hasManagedMirror(object)) return []
  const ours = httpOf(object, withAllRoutes(split)).filter(({ copies }) => copies)
  return [
    { op: 'remove', path: annotationPath },
    ...ours.flatMap(({ path }): PatchOperation[] => [
      { op: 'remove', path: `${path}/mirror` },
      { op: 'remove', path: `${path}/mirrorPercentage` },
    ]),
  ]
}

/** The http routes that split; `copies`: whether what is mirrored there goes to the canary by our doing. */
function httpOf(object: VirtualService, split: Split) {
  const ours = { value: Number(object.metadata.annotations?.[mirrorAnnotation]) }
  return placesOf(object, split)
    .filter(({ section }) => section === 'http')
    .map((place) => {
      const route = object.spec.http![place.index]!
      const destination = destinationOf(object, place)
      return {
        index: place.index,
        path: `/spec/http/${place.index}`,
        route,
        destination,
        copies: isDeepStrictEqual(route['mirror'], destination) && isDeepStrictEqual(route['mirrorPercentage'], ours),
      }
    })
}

export function hasManagedMirror({ metadata }: VirtualService): boolean {
  return metadata.annotations?.[mirrorAnnotation] !== undefined
}

function hasMirror(route: HttpRoute): boolean {
  return 'mirror' in route || 'mirrors' in route
}

function title({ name }: HttpRoute, index: number): string {
  return name === undefined ? `http route ${index + 1}` : `route ${name}`
}
