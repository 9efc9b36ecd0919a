// All that a config wants of the mesh: what compiles from it and the user's own manifests, one object a host.
import type { KubeObject, VirtualService } from '../cluster/objects.ts'
import { splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { compile, type Weights } from './compile/index.ts'
import { firstSplit, liveWeights, type LiveRoutes } from './live.ts'
import { readManifests, type Sourced } from './manifests.ts'
import { merge } from './merge.ts'

/**
 * `sources`: what each asked for, before it was merged into the `objects`. `kept`: weights in force that nothing here states
 * otherwise, by service. `notes` say what was merged, `warnings` what is doubtful: a sentence each.
 */
export type Desired = {
  objects: KubeObject[]
  sources: Sourced[]
  kept: Record<string, Weights>
  notes: string[]
  warnings: string[]
}

export const fromConfig = 'the config'

/** @throws ConfigError when a manifest is faulty, or two sources contradict each other. Without a cluster nothing is `live`. */
export function desired(config: Config, live: LiveRoutes = { virtualServices: [], destinationRules: [] }): Desired {
  const manifests = readManifests(config.policies ?? [], config.namespace)
  const kept = withoutStated(config, liveWeights(config, live), manifests)
  const compiled = compile(config, kept)
  const sources = [...compiled.objects.map((object): Sourced => ({ object, source: fromConfig })), ...manifests]
  return { ...merge(sources), sources, kept, warnings: compiled.warnings }
}

/** A split in a manifest says what the weights shall be; those of a canary are the promotion's to move. */
function withoutStated(
  config: Config,
  weights: Record<string, Weights>,
  manifests: Sourced[],
): Record<string, Weights> {
  const routes = manifests
    .map(({ object }) => object)
    .filter(({ kind, spec }) => kind === 'VirtualService' && spec !== undefined) as VirtualService[]
  const stated = (service: string) => firstSplit(routes, service, config.namespace) !== undefined
  return Object.fromEntries(
    Object.entries(weights).filter(([service]) => splitSubsets(config, service) !== undefined || !stated(service)),
  )
}
