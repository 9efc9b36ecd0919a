// Merges the policies of all sources into one VirtualService and one DestinationRule for each host, because the mesh
// would follow only one of two. Pure.
import { keyOf, titleOf, type DestinationRule, type HttpRoute, type KubeObject } from '../../cluster/objects.ts'
import { ConfigError } from '../../config/error.ts'
import { otherPortsRouteName, routeName } from '../../config/names.ts'
import { hiddenByOther, hiddenInOne } from '../conflicts/hidden-routes.ts'
import { placeOf, type Sourced } from '../manifests/manifests.ts'
import { MergeContext, mergeNamed, mergeValues, omit, type Fields, type NamedItem } from './merge-fields.ts'
import {
  fullHosts,
  hasWildcardHost,
  hostsOf,
  isForSidecarsOnly,
  mergeKey,
  meshGateway,
  sharedHosts,
} from './merge-hosts.ts'
import { mergeRoutes } from './merge-routes.ts'
import { inheritWildcard, shareRules, type Findings } from './inherit-wildcards.ts'
import { spreadPolicy } from './spread-traffic-policy.ts'
import { isOurs } from '../owned-objects.ts'
import { fromConfig, mergeServiceRoutes, unreachedRoutes } from './merge-services.ts'
import { repeatedInSources } from '../conflicts/namespace-wide.ts'

/**
 * `notes`: one sentence for each object that was merged into another. `warnings`: one sentence for each policy of the
 * config that does not reach a part of the user's objects.
 */
export type Merged = { objects: KubeObject[]; notes: string[]; warnings: string[] }

const inCluster = 'in the cluster'

/**
 * `live`: objects in the cluster that are less specific than ours, and that ours would hide.
 * @throws ConfigError with a sentence for each contradiction between two sources.
 */
export function merge(all: readonly Sourced[], live: readonly KubeObject[] = []): Merged {
  const groups = [...Map.groupBy(all, ({ object }) => mergeKey(object)).values()]
  const found: Findings = {
    faults: [...overlapFaults(groups), ...groups.flatMap(hiddenRoutes)],
    notes: [],
    warnings: [],
  }
  const known = [...all, ...live.map((object): Sourced => ({ object, source: inCluster }))]
  const wildcards = known.filter(({ object }) => hasWildcardHost(object))
  const merged = groups.map((group) => mergeGroup(group, wildcards, found))
  const shared = shareRules(merged, found)
  const objects = shared.map(({ object }) => object)
  found.faults.push(...repeatedInSources(all), ...nameFaults(shared))
  found.warnings.push(...unreachedRoutes(known.filter(isNewOrForeign)))
  if (found.faults.length > 0) throw new ConfigError(found.faults.join('\n'))
  return { objects, notes: found.notes, warnings: found.warnings }
}

/** False for what an earlier run wrote, and for what this run writes anew. */
function isNewOrForeign(each: Sourced, _: number, all: readonly Sourced[]): boolean {
  if (each.source !== inCluster) return true
  return (
    !isOurs(each.object) && !all.some(({ object }) => object !== each.object && keyOf(object) === keyOf(each.object))
  )
}

/** The user's objects become one, and then get what the config compiles to. */
function mergeGroup(group: Sourced[], wildcards: readonly Sourced[], found: Findings): Sourced {
  const compiled = group.find(isCompiled)
  const users = group.filter((each) => !isCompiled(each))
  if (users.length === 0) return inheritWildcard(compiled!, wildcards, found)
  const user = users.reduce((into, next) => mergeTwo(into, next, found))
  return compiled ? mergeTwo(compiled, user, found) : user
}

function isCompiled({ source }: Sourced): boolean {
  return source === fromConfig
}

function mergeTwo(into: Sourced, next: Sourced, found: Findings): Sourced {
  found.notes.push(`${sourcedTitle(next)} was merged into ${sourcedTitle(into)}: ${mergeReason(next.object)}`)
  return { ...into, object: mergeObjects(into, next, found) }
}

/** Routes that a route before them hides, in one object or in another one of the same group. */
function hiddenRoutes(group: Sourced[]): string[] {
  if (group[0]!.object.kind !== 'VirtualService') return []
  const users = group.filter((each) => !isCompiled(each))
  const compiled = group.filter(isCompiled).map(onlyMatched)
  const acrossUsers = pairsOf(users).flatMap(([a, b]) => hiddenByOther(a, b, true))
  const acrossAll = compiled.flatMap((ours) => users.flatMap((user) => hiddenByOther(ours, user, false)))
  return [...[...users, ...compiled].flatMap(hiddenInOne), ...acrossUsers, ...acrossAll]
}

/** Our object with its A/B routes only, because its other routes become part of the user's. */
function onlyMatched(compiled: Sourced): Sourced {
  const { object } = compiled
  const http = ((object.spec?.['http'] ?? []) as HttpRoute[]).filter(
    ({ name }) => name !== routeName && name !== otherPortsRouteName,
  )
  return { ...compiled, object: { ...object, spec: { ...object.spec, http } } }
}

function pairsOf<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((a, i) => items.slice(i + 1).map((b): [T, T] => [a, b]))
}

function sourcedTitle(sourced: Sourced): string {
  return `${titleOf(sourced.object)} (${placeOf(sourced)})`
}

function mergeReason({ kind, spec }: Sourced['object']): string {
  if (kind === 'VirtualService' && hostsOf(spec).length > 0)
    return `the host ${hostsOf(spec).join(', ')} can have only one ${kind}`
  if (kind === 'DestinationRule') return `the host ${String(spec?.['host'])} can have only one ${kind}`
  return 'they have the same name'
}

/**
 * Two VirtualServices that share some of their hosts and gateways but not all, so that neither is a part of the
 * other. The sidecars follow only one of them. A gateway has the routes of both, in the order in which the objects were
 * created, so it takes them as long as no route of one hides a route of the other.
 */
function overlapFaults(groups: Sourced[][]): string[] {
  return pairsByHost(groups).flatMap(([host, groupA, groupB]) => {
    const [a, b] = [groupA[0]!, groupB[0]!]
    const { hosts, gateways } = sharedHosts(a.object, b.object)
    // Two that share several hosts are a pair for each of them.
    if (host !== hosts[0] || gateways.length === 0) return []
    if (!gateways.includes(meshGateway))
      return groupA.flatMap((ofA) => groupB.flatMap((ofB) => hiddenByOther(ofA, ofB, false)))
    return [
      `${sourcedTitle(a)} and ${sourcedTitle(b)} are both for the host ${host} at the sidecars, but differ in their ` +
        'hosts or gateways, so they cannot be merged; give both the same `hosts` and `gateways`, ' +
        'or remove the host from one',
    ]
  })
}

/** The groups of VirtualServices that have a host in common: among a thousand, hardly any two. */
function pairsByHost(groups: Sourced[][]): [string, Sourced[], Sourced[]][] {
  const virtualServices = groups.filter(([first]) => first!.object.kind === 'VirtualService')
  const hosts = virtualServices.flatMap((group) => fullHosts(group[0]!.object).map((host) => ({ host, group })))
  return [...Map.groupBy(hosts, ({ host }) => host)].flatMap(([host, same]) =>
    pairsOf(same).map(([a, b]): [string, Sourced[], Sourced[]] => [host, a.group, b.group]),
  )
}

/** Objects with the same name that were not merged, because they are for different hosts or workloads. */
function nameFaults(merged: readonly Sourced[]): string[] {
  const nameOf = ({ object }: Sourced) => `${object.apiVersion.split('/')[0]} ${titleOf(object)}`
  const pairs = [...Map.groupBy(merged, nameOf).values()].flatMap(pairsOf)
  return pairs.map(([a, b]) => {
    const user = isCompiled(b) ? a : b
    return (
      `policies: ${placeOf(a)} and ${placeOf(b)} both give a ${titleOf(a.object)}, for different hosts or workloads; ` +
      `rename the one in ${placeOf(user)}`
    )
  })
}

function mergeObjects(a: Sourced, b: Sourced, { faults, warnings }: Findings): Sourced['object'] {
  const { metadata } = a.object
  const report = (sentence: string) => void warnings.push(`policies: ${sourcedTitle(b)}: ${sentence}`)
  const at = (path: string) => new MergeContext(faults, [placeOf(a), placeOf(b)], titleOf(a.object), path)
  const mergeTexts = (name: 'labels' | 'annotations') =>
    mergeValues(metadata[name], b.object.metadata[name], at(`metadata.${name}`)) as Record<string, string> | undefined
  const labels = mergeTexts('labels')
  const annotations = mergeTexts('annotations')
  return {
    ...a.object,
    metadata: { ...metadata, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec: isCompiled(a)
      ? mergeCompiled(a.object, b.object, at('spec'), report)
      : mergeSpecs(a.object, b.object, at('spec')),
  }
}

/** What the config compiles to joins the user's object, and reaches every part of it. */
function mergeCompiled(
  compiled: Sourced['object'],
  user: Sourced['object'],
  context: MergeContext,
  report: (sentence: string) => void,
): Fields {
  const { kind, metadata, spec = {} } = compiled
  const [http, usersHttp] = [spec['http'], user.spec?.['http']] as [HttpRoute[]?, HttpRoute[]?]
  if (kind === 'VirtualService' && http && usersHttp && isForSidecarsOnly(compiled)) {
    const routes = mergeServiceRoutes(http, usersHttp, metadata.namespace ?? '', context, report)
    const rest = mergeSpecs(
      { ...compiled, spec: omit(spec, 'http') },
      { ...user, spec: omit(user.spec ?? {}, 'http') },
      context,
    )
    return { ...rest, http: routes }
  }
  const merged = mergeSpecs(compiled, user, context)
  const policy = spec['trafficPolicy'] as Fields | undefined
  return kind === 'DestinationRule' && policy ? spreadPolicy(merged as DestinationRule['spec'], policy, report) : merged
}

function mergeSpecs(
  { kind, metadata: { namespace = '' }, spec: a = {} }: Sourced['object'],
  { spec: b = {} }: Sourced['object'],
  context: MergeContext,
): Fields {
  if (kind === 'VirtualService') {
    const [httpA, httpB] = [a['http'] ?? [], b['http'] ?? []] as [HttpRoute[], HttpRoute[]]
    const http = mergeRoutes(httpA, httpB, namespace, context)
    const rest = mergeValues(omit(a, 'http'), omit(b, 'hosts', 'gateways', 'http'), context) as Fields
    return { ...rest, ...(http.length > 0 ? { http } : {}) }
  }
  if (kind !== 'DestinationRule') return mergeValues(a, b, context) as Fields
  const [subsetsA, subsetsB] = [a['subsets'] ?? [], b['subsets'] ?? []] as [NamedItem[], NamedItem[]]
  const subsets = mergeNamed(subsetsA, subsetsB, context.at('.subsets'))
  const rest = mergeValues(omit(a, 'subsets'), omit(b, 'host', 'subsets'), context) as Fields
  return { ...rest, ...(subsets.length > 0 ? { subsets } : {}) }
}
