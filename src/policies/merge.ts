// Merges the policies of all sources into one VirtualService and one DestinationRule for each host, because the mesh
// would follow only one of two. Pure.
import { titleOf, type HttpRoute, type KubeObject } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Sourced } from './manifests.ts'
import { MergeContext, mergeNamed, mergeValues, omit, type Fields, type NamedItem } from './merge-fields.ts'
import { hostsOf, mergeKey, meshGateway, sharedHosts } from './merge-hosts.ts'
import { mergeRoutes } from './merge-routes.ts'
import { repeatedInSources } from './namespace-wide.ts'

/** `notes`: one sentence for each object that was merged into another. */
export type Merged = { objects: KubeObject[]; notes: string[] }

/** @throws ConfigError with a sentence for each contradiction between two sources. */
export function merge(all: readonly Sourced[]): Merged {
  const groups = [...Map.groupBy(all, ({ object }) => mergeKey(object)).values()]
  const faults = overlapFaults(groups)
  const notes: string[] = []
  const objects = groups.map(
    (group) =>
      group.reduce((into, next) => {
        notes.push(`${sourcedTitle(next)} was merged into ${sourcedTitle(into)}: ${mergeReason(next.object)}`)
        return { object: mergeObjects(into, next, faults), source: into.source }
      }).object,
  )
  faults.push(...repeatedInSources(all), ...nameFaults(objects))
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return { objects, notes }
}

function sourcedTitle({ object, source }: Sourced): string {
  return `${titleOf(object)} (${source})`
}

function mergeReason({ kind, spec }: Sourced['object']): string {
  if (kind === 'VirtualService' && hostsOf(spec).length > 0)
    return `the host ${hostsOf(spec).join(', ')} can have only one ${kind}`
  if (kind === 'DestinationRule') return `the host ${String(spec?.['host'])} can have only one ${kind}`
  return 'they have the same name'
}

/**
 * Two VirtualServices that share some of their hosts and gateways but not all, so that neither is a part of the
 * other.
 */
function overlapFaults(groups: Sourced[][]): string[] {
  const virtualServices = groups.map(([first]) => first!).filter(({ object }) => object.kind === 'VirtualService')
  return virtualServices.flatMap((a, i) =>
    virtualServices.slice(i + 1).flatMap((b) => {
      const { hosts, gateways } = sharedHosts(a.object, b.object)
      const [[host], [gateway]] = [hosts, gateways]
      if (host === undefined || gateway === undefined) return []
      const place = gateway === meshGateway ? 'the sidecars' : `the gateway ${gateway}`
      return [
        `${sourcedTitle(a)} and ${sourcedTitle(b)} are both for the host ${host} at ${place}, but differ in their ` +
          'hosts or gateways, so they cannot be merged; give both the same `hosts` and `gateways`, ' +
          'or remove the host from one',
      ]
    }),
  )
}

/** Objects with the same name that were not merged, because they are for different hosts or workloads. */
function nameFaults(objects: KubeObject[]): string[] {
  const nameOf = (object: KubeObject) => `${object.apiVersion.split('/')[0]} ${titleOf(object)}`
  const repeated = objects.filter((object, i) => objects.findIndex((other) => nameOf(other) === nameOf(object)) < i)
  const faults = repeated.map(
    (object) =>
      `policies: there are two objects named ${titleOf(object)}, for different hosts or workloads; rename one of them`,
  )
  return [...new Set(faults)]
}

function mergeObjects(a: Sourced, b: Sourced, faults: string[]): Sourced['object'] {
  const { metadata } = a.object
  const at = (path: string) => new MergeContext(faults, [a.source, b.source], titleOf(a.object), path)
  const mergeTexts = (name: 'labels' | 'annotations') =>
    mergeValues(metadata[name], b.object.metadata[name], at(`metadata.${name}`)) as Record<string, string> | undefined
  const labels = mergeTexts('labels')
  const annotations = mergeTexts('annotations')
  return {
    ...a.object,
    metadata: { ...metadata, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec: mergeSpecs(a.object, b.object, at('spec')),
  }
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
