// Keeps what an object of ours would hide. The mesh follows only the most specific object for a host: ours instead of
// one for `*.shop.svc.cluster.local`, and for some callers a DestinationRule with a workload selector instead of ours.
// Pure.
import { systemNamespace, titleOf, type DestinationRule, type HttpRoute } from '../../cluster/objects.ts'
import { routeName } from '../../config/names.ts'
import { placeOf, type Sourced } from '../manifests/manifests.ts'
import { MergeContext, omit, type Fields } from './merge-fields.ts'
import { exportsOf } from '../conflicts/export-to.ts'
import { coversHost, hostsOf, isForSidecarsOnly } from './merge-hosts.ts'
import { isDefaultRoute } from '../conflicts/match-coverage.ts'
import { fill, shareWith, spreadPolicy } from './spread-traffic-policy.ts'
import { fromConfig, mergeServiceRoutes } from './merge-services.ts'
import { fullHost } from '../routes.ts'

/** What merging finds: contradictions, what it did, and what it could not do. */
export type Findings = { faults: string[]; notes: string[]; warnings: string[] }
type Spec = DestinationRule['spec']

/** An object that only the config asks for, with the rules of the wildcard object that was in force for its host. */
export function inheritWildcard(ours: Sourced, all: readonly Sourced[], found: Findings): Sourced {
  const { object, source } = ours
  if (source !== fromConfig || !['DestinationRule', 'VirtualService'].includes(object.kind)) return ours
  if (object.kind === 'VirtualService' && !isForSidecarsOnly(object)) return ours
  const wildcard = wildcardFor(object, all)
  if (!wildcard) return ours
  const title = `${titleOf(wildcard.object)} (${wildcard.source})`
  const report = (sentence: string) => void found.warnings.push(`policies: ${title}: ${sentence}`)
  found.notes.push(
    `${title}: the ${titleOf(object)} takes over its rules, because the mesh follows only the more specific of the two`,
  )
  const spec =
    object.kind === 'DestinationRule'
      ? inheritPolicy(object.spec as Spec, wildcard.object.spec as Spec, report)
      : inheritRoutes(ours, wildcard, found, report)
  return { ...ours, object: { ...object, spec } }
}

/** Of several patterns the longest; the object's own namespace comes before the one of the mesh. */
function wildcardFor(object: Sourced['object'], all: readonly Sourced[]): Sourced | undefined {
  const { namespace = '' } = object.metadata
  const host = object.kind === 'DestinationRule' ? String(object.spec?.['host']) : hostsOf(object.spec)[0]!
  const candidates = all.filter(
    ({ object: each }) =>
      each.kind === object.kind &&
      each.spec?.['workloadSelector'] === undefined &&
      (each.metadata.namespace === namespace ||
        (each.metadata.namespace === systemNamespace && exportsOf(each).includes('*'))),
  )
  const covering = candidates.filter(
    (each) =>
      coversHost(each.object, host) && (each.object.kind !== 'VirtualService' || isForSidecarsOnly(each.object)),
  )
  const own = covering.filter((each) => each.object.metadata.namespace === namespace)
  return (own.length > 0 ? own : covering).sort((a, b) => lengthOf(b) - lengthOf(a))[0]
}

function lengthOf({ object: { kind, spec } }: Sourced): number {
  const hosts = kind === 'DestinationRule' ? [String(spec?.['host'])] : hostsOf(spec)
  return Math.max(...hosts.map((host) => host.length))
}

function inheritPolicy(ours: Spec, wildcard: Spec, report: (sentence: string) => void): Spec {
  const [policy, general] = [ours['trafficPolicy'], wildcard['trafficPolicy']] as [Fields?, Fields?]
  const names = new Set(ours.subsets?.map(({ name }) => name))
  const subsets = [...(ours.subsets ?? []), ...(wildcard.subsets ?? []).filter(({ name }) => !names.has(name))]
  const inherited = general && fill(policy ?? {}, general, 'the more specific rule', report)
  const spec = {
    ...ours,
    ...(inherited ? { trafficPolicy: inherited } : {}),
    ...(subsets.length > 0 ? { subsets } : {}),
  }
  return policy ? spreadPolicy(spec, policy, report) : spec
}

/** Its routes with a match stay; its default route keeps its settings, and the destination is ours. */
function inheritRoutes(ours: Sourced, wildcard: Sourced, found: Findings, report: (sentence: string) => void): Fields {
  const { metadata, spec = {} } = ours.object
  const http = spec['http'] as HttpRoute[]
  const destination = { host: fullHost(hostsOf(spec)[0]!, metadata.namespace ?? '') }
  // What ours states is more specific.
  const stated = http.find(({ name }) => name === routeName) ?? {}
  const general = ((wildcard.object.spec?.['http'] ?? []) as HttpRoute[]).map((route) =>
    isDefaultRoute(route)
      ? { ...omit(route, ...Object.keys(stated)), name: routeName, route: [{ destination }] }
      : route,
  )
  if (general.length === 0) return spec
  const context = new MergeContext(found.faults, [placeOf(ours), placeOf(wildcard)], titleOf(ours.object), 'spec')
  return { ...spec, http: mergeServiceRoutes(http, general, metadata.namespace ?? '', context, report) }
}

/** Rules for some callers of a host get the policy and the subsets of our rule for all callers of it. */
export function shareRules(merged: Sourced[], found: Findings): Sourced[] {
  return merged.map((each) => {
    const { object, source } = each
    if (object.kind !== 'DestinationRule' || object.spec?.['workloadSelector'] === undefined) return each
    const general = merged.find((other) => other.source === fromConfig && isForAllCallersOf(object, other.object))
    if (!general) return each
    const title = `${titleOf(object)} (${source})`
    const report = (sentence: string) => void found.warnings.push(`policies: ${title}: ${sentence}`)
    const spec = shareWith(object.spec as Spec, general.object.spec as Spec, report)
    found.notes.push(
      `${title}: it gets the policies and subsets of the ${titleOf(general.object)}, which its callers do not follow`,
    )
    return { ...each, object: { ...object, spec } }
  })
}

function isForAllCallersOf(rule: Sourced['object'], { kind, metadata, spec }: Sourced['object']): boolean {
  if (kind !== 'DestinationRule' || spec?.['workloadSelector'] !== undefined) return false
  const hostIn = (place: string | undefined, host: unknown) => fullHost(String(host), place ?? '')
  return (
    metadata.namespace === rule.metadata.namespace &&
    hostIn(metadata.namespace, spec?.['host']) === hostIn(rule.metadata.namespace, rule.spec?.['host'])
  )
}
