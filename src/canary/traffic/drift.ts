// Notices if someone else changes the routes during a promotion, and finds out who. The objects come from a watch.
// Pure.
import { keyOf } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import {
  canaryWeightOf,
  isVirtualService,
  splitsIn,
  weightPatch,
  withAllRoutes,
  type Routed,
  type Split,
} from '../../policies/routes.ts'
import type { Stage } from '../state/types.ts'
import { headerRoutePatch } from './header-route.ts'
import { mirrorPatch } from './mirror.ts'
import type { RouteWrite } from './patch-routes.ts'

/** What the promotion wrote last: the canary's weight, and the kind of its stage. `percent`: the share of a mirror. */
export type ExpectedRoutes = { weight: number; kind?: Stage['kind'] | undefined; percent?: number }

/**
 * The first difference from what the promotion wrote, and who made it; undefined if there is none. `known`: the keys of
 * the objects at the start. `written`: our own writes. A watch may lag behind them, so an older version of an object
 * proves nothing.
 */
export function findDrift(
  current: Routed[],
  known: readonly string[],
  split: Split,
  plan: CanaryConfig,
  expected: ExpectedRoutes,
  written: readonly Pick<RouteWrite, 'key' | 'from'>[],
): string | undefined {
  const deleted = known.find((key) => !current.some((object) => keyOf(object) === key))
  if (deleted !== undefined) return `${deleted} was deleted during the promotion`
  for (const object of current.filter((each) => !isOutdated(each, written))) {
    const change = objectDrift(object, known, split, plan, expected)
    if (change !== undefined) return `${keyOf(object)} ${change}${lastWriter(object)}`
  }
  return missingRoutes(current, split)
}

/** True if the watch does not show our own write yet. */
function isOutdated(object: Routed, written: readonly Pick<RouteWrite, 'key' | 'from'>[]): boolean {
  return written.some(({ key, from }) => key === keyOf(object) && from === object.metadata.resourceVersion)
}

function objectDrift(
  object: Routed,
  known: readonly string[],
  split: Split,
  plan: CanaryConfig,
  expected: ExpectedRoutes,
): string | undefined {
  const splits = splitsIn(object, split)
  if (splits.length === 0) {
    const hasOtherSplits = splitsIn(object, withAllRoutes(split)).length > 0
    if (hasOtherSplits || !known.includes(keyOf(object))) return undefined
    return `no longer splits traffic between ${split.stable.name} and ${split.canary.name}`
  }
  if (weightPatch(object, split, expected.weight).length > 0) {
    const weights = splits.map((each) => canaryWeightOf(each) ?? 0)
    return `gives the canary ${weights.join(', ')}% instead of ${expected.weight}%`
  }
  if (!lacksStageRoutes(object, split, plan, expected)) return undefined
  const requests =
    expected.kind === 'mirror' ? `copies of ${expected.percent ?? 0}% of the requests` : 'the requests that match'
  return `no longer sends the canary ${requests}`
}

/** Whether the mirror or the route for the requests that match is missing or different. */
function lacksStageRoutes(object: Routed, split: Split, plan: CanaryConfig, expected: ExpectedRoutes): boolean {
  if (!isVirtualService(object)) return false
  if (expected.kind === 'mirror') return mirrorPatch(object, split, expected.percent).length > 0
  if (expected.kind === 'ab' && plan.ab) return headerRoutePatch(object, split, plan.ab.match).length > 0
  return false
}

function missingRoutes(current: Routed[], split: Split): string | undefined {
  const names = current.flatMap((object) => splitsIn(object, split)).map(({ name }) => name)
  const missing = (split.routes ?? []).filter((name) => !names.includes(name))
  if (missing.length === 0) return undefined
  return `no route named ${missing.join(', ')} splits traffic between ${split.stable.name} and ${split.canary.name} now`
}

/** Who wrote the routes last. The API server stores that for each field, and a list of routes is one field. */
function lastWriter({ metadata: { managedFields = [] } }: Routed): string {
  const writers = managedFields.filter(({ manager, fieldsV1 }) => manager !== 'mesh-canary' && ownsRoutes(fieldsV1))
  const last = writers.sort((a, b) => (a.time ?? '').localeCompare(b.time ?? '')).at(-1)
  return last ? `: ${last.manager ?? 'somebody'} wrote it at ${last.time ?? 'an unknown time'}` : ''
}

function ownsRoutes(fields: Record<string, unknown> | undefined): boolean {
  const spec = fields?.['f:spec'] as Record<string, unknown> | undefined
  return spec !== undefined && ['f:http', 'f:tcp', 'f:tls', 'f:rules'].some((key) => key in spec)
}
