// All policies that a config asks for: those compiled from it and the user's own manifests, one object a host.
import type { KubeObject, VirtualService } from '../cluster/objects.ts'
import { splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { compile } from './compile/index.ts'
import type { Weights } from './compile/names.ts'
import { withIncludedRoutes } from './included-routes.ts'
import { firstSplit, liveWeights, type LiveRoutes } from './live.ts'
import { readManifests, type Sourced } from './manifests.ts'
import { merge } from './merge.ts'

/**
 * `sources`: the objects before they were merged into `objects`. `kept`: by service, the weights in force that no
 * source overrides. `notes`: one sentence for each merge.
 */
export type Desired = {
  objects: KubeObject[]
  sources: Sourced[]
  kept: Record<string, Weights>
  notes: string[]
  warnings: string[]
}

export const fromConfig = 'the config'

/**
 * @throws ConfigError when a manifest is invalid, or two sources contradict each other. Without a cluster nothing is
 * `live`.
 */
export function desired(config: Config, live: LiveRoutes = { virtualServices: [], destinationRules: [] }): Desired {
  const manifests = readManifests(config.policies ?? [], config.namespace)
  const kept = withoutOverridden(config, liveWeights(config, live), manifests)
  const compiled = compile(config, kept)
  const sources = [...compiled.objects.map((object): Sourced => ({ object, source: fromConfig })), ...manifests]
  const { objects, notes } = merge(sources)
  const included = withIncludedRoutes(objects, config, live.virtualServices)
  return { objects: included, notes, sources, kept, warnings: compiled.warnings }
}

/** A split in a manifest sets the weights, except those of a canary, which belong to its promotion. */
function withoutOverridden(
  config: Config,
  weights: Record<string, Weights>,
  manifests: Sourced[],
): Record<string, Weights> {
  const routes = manifests
    .map(({ object }) => object)
    .filter(({ kind, spec }) => kind === 'VirtualService' && spec !== undefined) as VirtualService[]
  const isOverridden = (service: string) => firstSplit(routes, service, config.namespace) !== undefined
  return Object.fromEntries(
    Object.entries(weights).filter(
      ([service]) => splitSubsets(config, service) !== undefined || !isOverridden(service),
    ),
  )
}
