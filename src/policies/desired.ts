// All policies that a config asks for: those compiled from it and the user's own manifests, one object a host.
import { systemNamespace, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import { servicesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { withCanarySplits } from './canary-splits.ts'
import { compile } from './compile/index.ts'
import type { Weights } from './compile/names.ts'
import { firstSplit, liveWeights, type LiveRoutes } from './live.ts'
import { readManifests, type Sourced } from './manifests.ts'
import { merge } from './merge.ts'
import { isForMesh } from './merge-hosts.ts'
import { fromConfig } from './merge-services.ts'
import { isOf, ownerOf } from './prune.ts'

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

/**
 * @throws ConfigError when a manifest is invalid, or two sources contradict each other. Without a cluster nothing is
 * `live`.
 */
export function desired(config: Config, live: LiveRoutes = { virtualServices: [], destinationRules: [] }): Desired {
  const manifests = readManifests(config.policies ?? [], config.namespace)
  const stated = splitsOfManifests(config, manifests)
  const kept = withoutOverridden(config, liveWeights(config, live), stated)
  const compiled = compile(config, { ...ofCanaries(config, stated), ...kept }, Date.now(), Object.keys(stated))
  const sources = [...compiled.objects.map((object): Sourced => ({ object, source: fromConfig })), ...manifests]
  const { objects, notes, warnings } = merge(sources, staying(config, live))
  return {
    objects: withCanarySplits(objects, config),
    notes: [...notes, ...(live.lacksMeshRules ? unreadRules(compiled.objects) : [])],
    sources,
    kept,
    warnings: [...compiled.warnings, ...warnings],
  }
}

type WeightsByService = Record<string, Weights>

/** The weights of the manifests for callers in the mesh. */
function splitsOfManifests(config: Config, manifests: Sourced[]): WeightsByService {
  const routes = manifests
    .map(({ object }) => object)
    .filter((object) => object.kind === 'VirtualService' && object.spec !== undefined && isForMesh(object))
  const found = Object.keys(servicesOf(config)).map(
    (service) => [service, firstSplit(routes as VirtualService[], service, config.namespace)] as const,
  )
  return Object.fromEntries(found.flatMap(([service, weights]) => (weights ? [[service, weights]] : [])))
}

/** A split in a manifest sets the weights, except those of a canary, which belong to its promotion. */
function withoutOverridden(config: Config, live: WeightsByService, stated: WeightsByService): WeightsByService {
  const others = Object.entries(live).filter(([service]) => !(service in stated))
  return { ...Object.fromEntries(others), ...ofCanaries(config, live) }
}

function ofCanaries(config: Config, weights: WeightsByService): WeightsByService {
  return Object.fromEntries(Object.entries(weights).filter(([service]) => splitSubsets(config, service)))
}

function unreadRules(compiled: readonly KubeObject[]): string[] {
  if (!compiled.some(({ kind }) => kind === 'DestinationRule')) return []
  return [
    `this account may not read the DestinationRules of ${systemNamespace}: if one there is for all hosts, ` +
      'its policies end for the services that get a DestinationRule of their own',
  ]
}

/** The objects in the cluster that this run does not delete. */
function staying(config: Config, { virtualServices, destinationRules }: LiveRoutes): KubeObject[] {
  const owner = ownerOf(config.name, config.namespace)
  return [...virtualServices, ...destinationRules].filter((object) => !owner.prunes || !isOf(owner, object))
}
