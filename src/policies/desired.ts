// All policies that a config asks for: those compiled from it and the user's own manifests, one object a host.
import { systemNamespace, type DestinationRule, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { servicesOf, splitSubsets } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { withCanarySplits } from './merge/canary-splits.ts'
import { compile } from './compile/index.ts'
import { configKeyOf, placeInConfig } from './config-keys.ts'
import type { Weights } from './compile/names.ts'
import { exportFaults, withInheritedExports } from './conflicts/export-to.ts'
import { firstSplit, liveWeights, type LiveRoutes } from './live-routes.ts'
import { userManifests, type Sourced } from './manifests/manifests.ts'
import { merge } from './merge/merge.ts'
import { isForMesh } from './merge/merge-hosts.ts'
import { fromConfig } from './merge/merge-services.ts'
import { isOf, isOurs, ownerOf } from './owned-objects.ts'
import { withoutRepeatedRules } from './merge/redundant-rules.ts'
import { withStatedSubsets } from './subsets.ts'

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
  const manifests = userManifests(config)
  const stated = splitsOfManifests(config, manifests)
  const kept = withoutOverridden(config, liveWeights(config, live), stated)
  const rules = statedRules(manifests, live)
  const compiled = compile(
    withStatedSubsets(config, rules),
    { ...ofCanaries(config, stated), ...kept },
    Date.now(),
    Object.keys(stated),
  )
  const own = withoutRepeatedRules(compiled.objects, rules)
  const fromConfigAlone = own.map(
    (object): Sourced => ({
      object,
      source: fromConfig,
      key: configKeyOf(config, object),
      place: placeInConfig(config, object),
    }),
  )
  const users = [...manifests.map(({ object }) => object), ...usersObjects(live)]
  const sources = [...withInheritedExports(fromConfigAlone, users), ...manifests]
  const merged = merge(sources, staying(config, live))
  const objects = withCanarySplits(merged.objects, config, live.virtualServices)
  const faults = exportFaults(config, objects)
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return {
    objects,
    notes: [...merged.notes, ...(live.lacksMeshRules ? unreadRules(own) : [])],
    sources,
    kept,
    warnings: [...compiled.warnings, ...merged.warnings],
  }
}

/** Objects in the cluster that stay as they are, because mesh-canary does not manage them. */
function usersObjects({ virtualServices, destinationRules }: LiveRoutes): KubeObject[] {
  return [...destinationRules, ...virtualServices].filter((object) => !isOurs(object))
}

/** The user's own DestinationRules, whose subsets keep their labels: those of the manifests, then those in the cluster. */
export function statedRules(manifests: readonly Sourced[], { destinationRules }: LiveRoutes): DestinationRule[] {
  const rules = manifests.map(({ object }) => object).filter(({ kind, spec }) => kind === 'DestinationRule' && spec)
  return [...(rules as KubeObject[] as DestinationRule[]), ...destinationRules.filter((rule) => !isOurs(rule))]
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
  const others = Object.entries(live).filter(([service]) => !Object.hasOwn(stated, service))
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
  const owner = ownerOf(config)
  return [...virtualServices, ...destinationRules].filter((object) => !owner.prunes || !isOf(owner, object))
}
