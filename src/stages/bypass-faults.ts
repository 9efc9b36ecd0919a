// Finds what bypasses the split of each canary, or moves unjudged: in the objects that the config asks for, and in the
// cluster as it will be when they are written.
import { isDeepStrictEqual } from 'node:util'
import { findBypasses, type PendingRoutes } from '../canary/traffic/bypasses.ts'
import { unjudgedRoutes } from '../canary/traffic/unjudged-routes.ts'
import { selectorsOf } from '../canary/workload/selectors.ts'
import type { Cluster } from '../cluster/client.ts'
import { keyOf } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { canariesOf, canaryKey } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { describeRouteBypass, findRouteBypasses, type RouteBypass } from '../policies/weights/route-bypasses.ts'
import { desired, type Desired } from '../policies/desired.ts'
import { fromConfig } from '../policies/merge/merge-services.ts'
import { withoutExternalCanaries } from '../policies/weights/external-routes.ts'
import type { Sourced } from '../policies/manifests/manifests.ts'
import { matchesOf } from '../policies/conflicts/match-coverage.ts'
import { mergeKey } from '../policies/merge/merge-hosts.ts'
import type { LiveRoutes } from '../policies/live-routes.ts'
import { isOf, ownerOf } from '../policies/owned-objects.ts'
import { isRouted, splitOf } from '../policies/routes.ts'

/** Without a cluster: one sentence for each route of the objects that bypasses a split. */
export function renderedBypassFaults(config: Config, target: Desired): string[] {
  const routes = target.objects.filter(isRouted)
  return canariesOf(config).flatMap((plan, i) =>
    findRouteBypasses(routes, splitOf(config, plan)).map(
      (bypass) => `${canaryKey(config, i)}: ${describeRouteBypass(bypass, sourceIn(target, bypass))}`,
    ),
  )
}

/** One sentence for each bypass, and for each route that moves unjudged. `writes`: the run writes its policies first. */
export async function bypassFaults(
  cluster: Cluster,
  config: Config,
  live: LiveRoutes,
  writes: boolean,
): Promise<string[]> {
  const target = writes ? targetOf(config, live) : undefined
  // A contradiction between the sources has its own error.
  if (writes && !target) return []
  const perCanary = canariesOf(config).map(async (plan, i) => {
    const selectors = await selectorsOf(cluster, config, plan).catch(() => undefined)
    if (!selectors) return []
    const options = target
      ? { pending: pendingOf(config, target), sourceOf: (bypass: RouteBypass) => sourceIn(target, bypass) }
      : {}
    const split = splitOf(config, plan)
    const { faults, routes } = await findBypasses(cluster, split, plan, selectors, options)
    return [...faults, ...unjudgedRoutes(routes, split, plan)].map((fault) => `${canaryKey(config, i)}: ${fault}`)
  })
  return (await Promise.all(perCanary)).flat()
}

function targetOf(config: Config, live: LiveRoutes): Desired | undefined {
  try {
    return desired(withoutExternalCanaries(config, live, ownerOf(config)), live)
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

function pendingOf(config: Config, { objects }: Desired): PendingRoutes {
  const owner = ownerOf(config)
  const written = new Set(objects.map(keyOf))
  return {
    written: objects,
    isDeleted: (live) => owner.prunes && isOf(owner, live) && !written.has(keyOf(live)),
  }
}

/** The user's file and line of a route in a merged object; undefined for a route that the config compiles to. */
function sourceIn({ sources }: Desired, { object, matches }: RouteBypass): string | undefined {
  const isIn = ({ kind, spec }: Sourced['object']) =>
    kind !== 'VirtualService' || routesIn(spec).some((route) => isDeepStrictEqual(matchesOf(route), matches))
  const candidates = sources.filter(({ source }) => source !== fromConfig)
  return candidates.find(({ object: each }) => mergeKey(each) === mergeKey(object) && isIn(each))?.source
}

function routesIn(spec: Record<string, unknown> = {}): Record<string, unknown>[] {
  return ['http', 'tcp', 'tls'].flatMap((key) => (spec[key] ?? []) as Record<string, unknown>[])
}
