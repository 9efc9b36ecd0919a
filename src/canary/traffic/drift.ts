// Whether somebody else has a hand in the routes while a promotion is under way, and who. Pure: the objects come from a watch.
import { keyOf } from '../../cluster/objects.ts'
import {
  withAllRoutes,
  isVirtualService,
  placesOf,
  shareOf,
  weightPatch,
  type Routed,
  type Split,
} from '../../policies/routes.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { headerRoutePatch } from './header-route.ts'
import { mirrorPatch } from './mirror.ts'
import type { Stage } from '../state/machine.ts'
import type { RouteWrite } from './router.ts'

/** What was asked of the routes last: the canary's weight, and what a stage adds to it. */
export type ExpectedRoutes = { weight: number; kind?: Stage['kind'] | undefined; percent?: number }

/**
 * What stands there instead of what was asked for, and who wrote it; undefined while all is as asked. `known`: the objects
 * that were there at the start. A watch may lag behind our own write: what it still shows of before says nothing.
 */
export function findDrift(
  live: Routed[],
  known: readonly string[],
  split: Split,
  plan: CanaryConfig,
  asked: ExpectedRoutes,
  written: readonly RouteWrite[],
): string | undefined {
  const isOld = (object: Routed) =>
    written.some(({ key, from }) => key === keyOf(object) && from === object.metadata.resourceVersion)
  const gone = known.find((key) => !live.some((object) => keyOf(object) === key))
  if (gone !== undefined) return `${gone} was deleted in the middle of the promotion`
  for (const object of live.filter((each) => !isOld(each))) {
    const places = placesOf(object, split)
    if (places.length === 0 && placesOf(object, withAllRoutes(split)).length > 0) continue
    if (places.length === 0 && known.includes(keyOf(object)))
      return `the routes of ${keyOf(object)} do not split between ${split.stable.name} and ${split.canary.name} any more${by(object)}`
    if (weightPatch(object, split, asked.weight).length > 0)
      return `${keyOf(object)} gives the canary ${places.map((place) => shareOf(place) ?? 0).join(', ')}% instead of ${asked.weight}%${by(object)}`
    if (lacks(object, split, plan, asked))
      return `${keyOf(object)} does not send the canary ${asked.kind === 'mirror' ? `copies of ${asked.percent ?? 0}% of the requests` : 'the requests that match'} any more${by(object)}`
  }
  const places = live.flatMap((object) => placesOf(object, split))
  const missing = split.routes?.filter((name) => !places.some((place) => place.name === name)) ?? []
  return missing.length === 0
    ? undefined
    : `no route named ${missing.join(', ')} splits between ${split.stable.name} and ${split.canary.name} any more`
}

/** Whether what a stage adds to the weight is not there. */
function lacks(object: Routed, split: Split, plan: CanaryConfig, { kind, percent }: ExpectedRoutes): boolean {
  if (!isVirtualService(object)) return false
  return (
    (kind === 'mirror'
      ? mirrorPatch(object, split, percent)
      : kind === 'ab' && plan.ab
        ? headerRoutePatch(object, split, plan.ab.match)
        : []
    ).length > 0
  )
}

/** Who wrote the routes last, as the API server keeps it of every field; a list of routes is one field. */
function by({ metadata: { managedFields = [] } }: Routed): string {
  const writers = managedFields.filter(({ manager, fieldsV1 }) => manager !== 'mesh-canary' && ownsRoutes(fieldsV1))
  const last = writers.sort((a, b) => (a.time ?? '').localeCompare(b.time ?? '')).at(-1)
  return last ? `: ${last.manager ?? 'somebody'} wrote it at ${last.time ?? 'an unknown time'}` : ''
}

function ownsRoutes(fields: Record<string, unknown> | undefined): boolean {
  const spec = fields?.['f:spec'] as Record<string, unknown> | undefined
  return spec !== undefined && ['f:http', 'f:tcp', 'f:tls', 'f:rules'].some((key) => key in spec)
}
