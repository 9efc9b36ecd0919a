// The services of a namespace that a config template can have policies for. Pure.
import { selectorIndex } from '../cluster/labels.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'
import { dnsName } from '../config/values/kubernetes.ts'
import type { ControlPlane } from '../mesh/revisions.ts'
import { hostOf } from '../policies/compile/names.ts'
import type { LiveRoutes } from '../policies/live-routes.ts'
import { fullHost, routesTo } from '../policies/routes.ts'

export type DiscoveredCluster = {
  namespace: string
  workloads: Workload[]
  services: Service[]
  live: LiveRoutes
  /** As text: why they cannot be read. */
  peerAuthentications: KubeObject[] | string
  /** The installed control plane. As text: why it is not known whether there is one. */
  istio?: Pick<ControlPlane, 'version' | 'revision'> | string
}

/**
 * A service that speaks HTTP. `versions` are the values of the label `version` of its pods, the lowest first.
 * `conflicts` are existing objects for the same host, which would compete with ours. `deployment`: the one behind it, if
 * that is all.
 */
export type ServiceCandidate = {
  name: string
  port: number
  versions: string[]
  conflicts: KubeObject[]
  deployment: string | undefined
}

/** The services that have pods, by name, with the workloads behind them. */
export function servicesWithPods({
  services,
  workloads,
}: DiscoveredCluster): { service: Service; workloads: readonly Workload[] }[] {
  const select = selectorIndex(workloads, ({ spec }) => spec.template.metadata?.labels)
  return byName(services)
    .map((service) => ({ service, workloads: service.spec.selector ? select(service.spec.selector) : [] }))
    .filter((each) => each.workloads.length > 0)
}

export function candidatesOf(cluster: DiscoveredCluster): ServiceCandidate[] {
  return servicesWithPods(cluster).flatMap(({ service, workloads }) => {
    const port = httpPortOf(service)
    if (port === undefined) return []
    const labelled = workloads.flatMap(({ spec }) => spec.template.metadata?.labels?.['version'] ?? [])
    const { name } = service.metadata
    const versions = [...new Set(labelled)].sort(naturally)
    return [{ name, port, versions, conflicts: conflictsOf(name, cluster), deployment: onlyDeployment(workloads) }]
  })
}

/** Undefined if there are other workloads, or if an operator owns it. */
function onlyDeployment(workloads: readonly Workload[]): string | undefined {
  const [workload, ...others] = workloads
  if (!workload || others.length > 0 || workload.kind !== 'Deployment') return undefined
  return workload.metadata.ownerReferences ? undefined : workload.metadata.name
}

/** A port that declares HTTP goes before a port without a protocol. */
function httpPortOf(service: Service): number | undefined {
  const ports = servicePorts(service)
  const found =
    ports.find((port) => protocolOf(port) === 'http') ?? ports.find((port) => protocolOf(port) === 'unknown')
  return found?.port
}

function conflictsOf(name: string, { namespace, live }: DiscoveredCluster): KubeObject[] {
  const routes = live.virtualServices.filter((each) => routesTo(each, name, namespace))
  const rules = live.destinationRules.filter(
    ({ metadata, spec }) => fullHost(spec.host, metadata.namespace ?? namespace) === hostOf(name, namespace),
  )
  return [...byName(routes), ...byName(rules)]
}

/** A subset name for a version. A subset's name is a Kubernetes name; a version's label can have other characters. */
export function subsetOf(version: string): string {
  if (dnsName.test(version) && quoted(version) === version) return version
  const name = version
    .toLowerCase()
    .replace(/^v(?=\d)/, '')
    .replace(/[^a-z0-9]+/g, '-')
  return `v${name}`.slice(0, 63).replace(/-+$/, '')
}

/** Text in YAML, in quotes if it looks like another type. */
export function quoted(text: string): string {
  return /^[a-z][a-z0-9-]*$/i.test(text) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text)
}

export function byName<T extends KubeObject>(objects: readonly T[]): T[] {
  return [...objects].sort((a, b) => naturally(a.metadata.name, b.metadata.name) || naturally(a.kind, b.kind))
}

/** v9 before v10. */
function naturally(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : 1)
}
