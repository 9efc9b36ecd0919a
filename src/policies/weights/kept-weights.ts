// Keeps the weights that belong to a promotion: those that one has moved (moved-weights.ts), and those between the
// versions of a canary in the config. A manifest or `traffic` sets such weights only while no object in the cluster has
// them, or with `weights: from-file`. Pure.
import { isDeepStrictEqual } from 'node:util'
import { keyOf, titleOf, type KubeObject } from '../../cluster/objects.ts'
import { canariesOf } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { hostOf } from '../compile/names.ts'
import { mergeKey } from '../merge/merge-hosts.ts'
import { movedVersions } from './moved-weights.ts'
import {
  fullHost,
  isRouted,
  routesOf,
  splitOf,
  splitsIn,
  targetKey,
  type Route,
  type Routed,
  type RouteSplit,
  type Split,
  type Target,
} from '../routes.ts'

/** `promotions`: the canaries of the config. `fromFile`: the hosts whose weights the files set. */
export type WeightRules = { promotions: Split[]; fromFile: string[] }

export const noWeightRules: WeightRules = { promotions: [], fromFile: [] }

export function weightRules(config: Config): WeightRules {
  const { namespace, services = {} } = config
  const isFromFile = (service: string) => services[service]?.weights === 'from-file'
  const promotions = canariesOf(config)
    .filter(({ service }) => !isFromFile(service))
    .map((plan) => splitOf(config, plan))
  const ofCanaries = canariesOf(config).flatMap(({ service, stable, canary }) =>
    isFromFile(service) ? [stable, canary].flatMap(({ by, name }) => (by === 'service' ? [name] : [])) : [],
  )
  const fromFile = [...Object.keys(services).filter(isFromFile), ...ofCanaries]
  return { promotions, fromFile: fromFile.map((service) => hostOf(service, namespace)) }
}

/**
 * `object`: the desired object with the kept weights. `lines`: what the plan shows, one line for each route whose weights
 * differ from those in the file. `faults`: versions that serve now and that the object would cut off.
 */
export type Kept = { object: KubeObject; lines: string[]; faults: string[] }

/** `live`: the object in the cluster that the desired one replaces. */
export function keepWeights(desired: KubeObject, live: KubeObject | undefined, rules: WeightRules): Kept {
  if (!live || !isRouted(desired) || !isRouted(live)) return { object: desired, lines: [], faults: [] }
  const namespace = live.metadata.namespace ?? ''
  const object = structuredClone(desired)
  const now = routesOf(live, namespace)
  const kept = routesOf(desired, namespace).flatMap((route) => {
    const before = counterpartOf(route, now)
    return before && isState(desired, route, live, before, rules) ? [keepRoute(object, route, before)] : []
  })
  return {
    object,
    lines: kept.flatMap(({ lines }) => lines),
    faults: kept.flatMap(({ faults }) => faults),
  }
}

/** The live object that the desired one replaces: of the same name, or for the same hosts among those to be deleted. */
export function replacedBy(desired: KubeObject, named: KubeObject | undefined, deleted: readonly KubeObject[]) {
  if (named) return named
  return deleted.find(({ kind, ...other }) => kind === desired.kind && placeOf({ kind, ...other }) === placeOf(desired))
}

/** Whose requests the routes take. */
function placeOf(object: KubeObject & { spec?: Record<string, unknown> }): string {
  const { kind, spec = {} } = object
  if (kind === 'VirtualService') return mergeKey(object)
  return kind === 'HTTPRoute' || kind === 'GRPCRoute'
    ? JSON.stringify([spec['parentRefs'], spec['hostnames']])
    : keyOf(object)
}

/** The route of the same name, or of the same match, or one that splits between the same versions. */
function counterpartOf(route: Route, now: Route[]): Route | undefined {
  const hosts = new Set(route.targets.map(({ host }) => host))
  const related = now.filter(({ section, targets }) => {
    return section === route.section && targets.some(({ host }) => hosts.has(host))
  })
  const sharedTargets = ({ targets }: Route) => targets.filter((target) => includes(route.targets, target)).length
  return (
    related.find(({ name }) => name !== undefined && name === route.name) ??
    related.find(({ match }) => isDeepStrictEqual(match, route.match)) ??
    related.find((each) => sharedTargets(each) > 1)
  )
}

function includes(targets: Target[], target: Target): boolean {
  return targets.some((each) => targetKey(each) === targetKey(target))
}

function isState(
  desired: Routed,
  route: Route,
  live: Routed,
  before: Route,
  { promotions, fromFile }: WeightRules,
): boolean {
  if (hostsOf(desired, route).some((host) => fromFile.includes(host))) return false
  const moved = movedVersions(live)
  const versions = new Set(before.targets.map(targetKey).filter((key) => moved.includes(key)))
  // A live route to the whole host has no weights of the versions yet.
  const isLive = ({ path, stable, canary, targets }: RouteSplit) =>
    path === route.path && [...stable, ...canary].some((i) => includes(before.targets, targets[i]!))
  return versions.size > 1 || promotions.some((split) => splitsIn(desired, split).some(isLive))
}

function hostsOf({ kind, metadata: { namespace = '' }, spec }: Routed, { targets }: Route): string[] {
  const hosts = kind === 'VirtualService' ? ((spec as { hosts?: string[] }).hosts ?? []) : []
  return [...hosts.map((host) => fullHost(host, namespace)), ...targets.map(({ host }) => host)]
}

/** Writes the live weights into the object. */
function keepRoute(object: Routed, route: Route, before: Route): Pick<Kept, 'lines' | 'faults'> {
  const isLost = (target: Target) => !includes(route.targets, target) && !isRefined(route, target)
  const lost = before.targets.filter((target) => target.weight > 0 && isLost(target))
  if (lost.length > 0) return { lines: [], faults: lost.map((target) => lostVersion(object, route, target)) }
  const weights = weightsFrom(before.targets, route.targets)
  const isUnused = weights.every((weight) => weight === 0) && before.targets.some(({ weight }) => weight > 0)
  if (isUnused) return { lines: [], faults: [] }
  if (weights.every((weight, i) => weight === route.targets[i]!.weight)) return { lines: [], faults: [] }
  const list = weightedAt(object, route)
  weights.forEach((weight, i) => (list[i]!.weight = weight))
  const said = route.targets.map(({ weight }) => weight)
  return {
    lines: [`${dotted(route)}: kept: ${weights.join('/')} (file says ${said.join('/')})`],
    faults: [],
  }
}

/** The route splits between subsets what went to the whole host. */
function isRefined({ targets }: Route, { host, subset }: Target): boolean {
  return subset === undefined && targets.some((each) => each.host === host && each.subset !== undefined)
}

/** When a version has several targets, the first one has all its weight, unless the lists are the same. */
function weightsFrom(before: Target[], targets: Target[]): number[] {
  const keys = targets.map(targetKey)
  if (isDeepStrictEqual(before.map(targetKey), keys)) return before.map(({ weight }) => weight)
  return keys.map((key, i) =>
    keys.indexOf(key) < i
      ? 0
      : before.filter((target) => targetKey(target) === key).reduce((sum, { weight }) => sum + weight, 0),
  )
}

type Weighted = { weight?: number }

function weightedAt(object: Routed, { path }: Route): Weighted[] {
  const at = (value: unknown, key: string) => (value as Record<string, unknown>)[key]
  return path.slice(1).split('/').reduce<unknown>(at, object) as Weighted[]
}

/** `spec.http[1].route` */
function dotted({ path }: Route): string {
  return path
    .slice(1)
    .replaceAll(/\/(\d+)/g, '[$1]')
    .replaceAll('/', '.')
}

function lostVersion(object: Routed, route: Route, target: Target): string {
  const service = target.host.split('.')[0]!
  return (
    `policies: the ${titleOf(object)}: ${dotted(route)}: ${target.subset ?? service} of ${target.host} has the weight ` +
    `${target.weight} in the cluster, and the route as it is written here sends it nothing; ` +
    `keep it as a destination with any weight, or set \`services.${service}.weights: from-file\` to move the traffic`
  )
}
