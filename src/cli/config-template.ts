// What is in a namespace → a config to begin with, in which nothing is guessed that could move traffic. Pure: the same lists give the same text.
import { matches } from '../cluster/labels.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { dnsName } from '../config/values.ts'
import { defaultRevision } from '../mesh/labels.ts'
import type { ControlPlane } from '../mesh/revisions.ts'
import type { LiveRoutes } from '../policies/live.ts'
import { fullHost, routesTo } from '../policies/routes.ts'
import { hostOf } from '../policies/compile/index.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'
import { restartOrder } from './call-graph.ts'

export type DiscoveredCluster = {
  namespace: string
  workloads: Workload[]
  services: Service[]
  live: LiveRoutes
  peerAuthentications: KubeObject[]
  /** Version of the control plane that is there. */
  istio?: Pick<ControlPlane, 'version' | 'revision'>
}

/** `taken`: the objects for its host that are there already, which ours would stand beside. */
type Candidate = { name: string; port: number; versions: string[]; taken: KubeObject[] }
type Starter = { text: string; told: string }

/** `told`: one sentence about what was found. */
export function configTemplate(seen: DiscoveredCluster): Starter {
  const { namespace, workloads, services } = seen
  const behind = (service: Service) =>
    workloads.filter(
      ({ spec }) => service.spec.selector && matches(service.spec.selector, spec.template.metadata?.labels),
    )
  const ours = byName(services).filter((service) => behind(service).length > 0)
  const candidates = ours.flatMap((service) => candidate(seen, service, behind(service)))
  const ordered = restartOrder(namespace, byName(workloads), ours)
  const canaries = candidates.filter(({ versions, taken }) => versions.length > 1 && taken.length === 0)
  const sections = [
    [
      '# yaml-language-server: $schema=mesh.schema.json',
      `# Begun by \`mesh-canary init\` from what was in the namespace ${namespace}. \`mesh-canary plan\` shows what it would change.`,
      `namespace: ${quoted(namespace)}`,
    ],
    control(seen),
    sidecars(ordered),
    mtls(seen),
    policies(candidates),
    canary(
      canaries[0],
      candidates.find(({ taken }) => taken.length === 0),
    ),
    canaries
      .slice(1)
      .map(
        ({ name, versions }) =>
          `# ${name} runs in several versions as well (${versions.join(', ')}): to promote several services together, see \`canaries\`.`,
      ),
    expose(candidates[0]),
  ]
  const [first] = canaries
  const promoted = first ? `, and a canary of ${first.name} (${stableOf(first)} to ${canaryOf(first)})` : ''
  return {
    text: sections
      .filter((lines) => lines.length > 0)
      .map((lines) => `${lines.join('\n')}\n`)
      .join('\n'),
    told: `${ordered.length} workloads, ${candidates.length} services that speak HTTP${promoted}`,
  }
}

function candidate({ namespace, live }: DiscoveredCluster, service: Service, workloads: Workload[]): Candidate[] {
  const { name } = service.metadata
  const [port] = [...servicePorts(service)]
    .filter((each) => ['http', 'unknown'].includes(protocolOf(each)))
    .sort((a, b) => rank(a) - rank(b))
  if (!port) return []
  const versions = workloads.flatMap(({ spec }) => spec.template.metadata?.labels?.['version'] ?? [])
  const rules = live.destinationRules.filter(
    ({ metadata, spec }) => fullHost(spec.host, metadata.namespace ?? namespace) === hostOf(name, namespace),
  )
  const taken = [...byName(live.virtualServices.filter((each) => routesTo(each, name, namespace))), ...byName(rules)]
  return [{ name, port: port.port, versions: [...new Set(versions)].sort(naturally), taken }]
}

/** A port that says that it speaks HTTP goes before one that says nothing. */
function rank(port: Parameters<typeof protocolOf>[0]): number {
  return protocolOf(port) === 'http' ? 0 : 1
}

function control({ istio }: DiscoveredCluster): string[] {
  if (istio === undefined)
    return [
      '# The control plane: none was found in the cluster, so `run` installs this one.',
      'istio: { version: 1.31.0, profile: default }',
    ]
  const revision = istio.revision === defaultRevision ? '' : `revision: ${istio.revision}, `
  return [
    `# The control plane: Istio ${istio.version} is there, and is left as it is. With this section \`run\` keeps it as said here, and \`plan\` asks \`istioctl analyze\`.`,
    `# istio: { version: ${istio.version}, ${revision}profile: default }`,
  ]
}

const short: Record<string, string> = { Deployment: 'deploy', StatefulSet: 'sts', DaemonSet: 'ds' }

function sidecars(workloads: Workload[]): string[] {
  if (workloads.length === 0) return ['# Workloads that get a sidecar: there are none yet.', '# workloads: all']
  const names = workloads.map(({ kind, metadata }) => `${short[kind]!}/${metadata.name}`)
  return [
    '# These get a sidecar, and are restarted for it in this order where they lack one. Callers come before what they call, as far as',
    '# that could be seen, and what speaks plain TCP last: a database that speaks first answers no caller without a sidecar once it has its own.',
    `workloads: [${names.join(', ')}]`,
  ]
}

function mtls({ peerAuthentications }: DiscoveredCluster): string[] {
  if (peerAuthentications.length === 0)
    return ['# Callers without a sidecar still get through; make it `strict` once there are none.', 'mtls: permissive']
  return [
    `# Mutual TLS: ${peerAuthentications.map(titleOf).join(', ')} there already, and left as it is.`,
    '# mtls: strict',
  ]
}

function policies(candidates: Candidate[]): string[] {
  const free = candidates.filter(({ taken }) => taken.length === 0)
  const others = candidates.filter(({ taken }) => taken.length > 0)
  return [
    '# Traffic policies by service.',
    ...(free.length === 0 ? ['services: {}'] : ['services:', ...free.flatMap((each, i) => service(each, i === 0))]),
    ...others.flatMap((each) => [
      `  # ${each.name} has policies already (${each.taken.map(titleOf).join(', ')}): move them here and delete those, or label`,
      '  # those app.kubernetes.io/managed-by=mesh-canary to hand them over, and take the signs away.',
      ...service(each, false).map((line) => `  # ${line.slice(2)}`),
    ]),
  ]
}

function service({ name, port, versions }: Candidate, withHints: boolean): string[] {
  const hints = ['    # timeout: 10s', '    # retries: { attempts: 3, perTryTimeout: 2s }']
  const subsets =
    versions.length > 1
      ? ['    subsets:', ...versions.map((version) => `      ${subsetOf(version)}: { version: ${quoted(version)} }`)]
      : []
  return [`  ${name}:`, `    port: ${port}`, ...(withHints ? hints : []), ...subsets]
}

/** The lowest version is taken for stable, the highest for the canary. */
function canary(chosen: Candidate | undefined, other: Candidate | undefined): string[] {
  const plan = (service: string, stable: string, next: string) => [
    'canary:',
    `  service: ${quoted(service)}`,
    `  stable: ${stable}`,
    `  canary: ${next}`,
    '  steps: [5, 25, 50, 100]',
    '  interval: 30s',
    '  checks: { successRate: 99% }',
  ]
  if (chosen)
    return [
      `# The promotion, by \`mesh-canary promote\`. Until then all traffic of ${chosen.name} goes to ${stableOf(chosen)}.`,
      ...plan(chosen.name, stableOf(chosen), canaryOf(chosen)),
    ]
  if (!other) return []
  const stable = other.versions[0] === undefined ? 'v1' : subsetOf(other.versions[0])
  return [
    `# The promotion: there is one version of ${other.name} only${other.versions.length === 0 ? ', and its pods have no label `version`' : ''}. Beside a second one, whose pods have another label`,
    '# `version`:',
    ...plan(other.name, stable, stable === 'v2' ? 'v3' : 'v2').map((line) => `# ${line}`),
  ]
}

const stableOf = ({ versions }: Candidate) => subsetOf(versions[0]!)
const canaryOf = ({ versions }: Candidate) => subsetOf(versions.at(-1)!)

function expose(candidate: Candidate | undefined): string[] {
  return candidate
    ? [
        '# From outside, through the ingress gateway:',
        `# expose: { ${candidate.name}: { port: ${candidate.port}, hosts: [${candidate.name}.example.com] } }`,
      ]
    : []
}

/** A subset's name is that of a Kubernetes object; a version's label may be any. */
function subsetOf(version: string): string {
  if (dnsName.test(version) && quoted(version) === version) return version
  return `v${version
    .toLowerCase()
    .replace(/^v(?=\d)/, '')
    .replace(/[^a-z0-9]+/g, '-')}`
    .slice(0, 63)
    .replace(/-+$/, '')
}

/** Text in YAML, also where it looks like something else. */
function quoted(text: string): string {
  return /^[a-z][a-z0-9-]*$/i.test(text) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text)
}

function titleOf({ kind, metadata }: KubeObject): string {
  return `the ${kind} ${metadata.name}`
}

function naturally(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : 1)
}

function byName<T extends KubeObject>(objects: readonly T[]): T[] {
  return [...objects].sort((a, b) => naturally(a.metadata.name, b.metadata.name) || naturally(a.kind, b.kind))
}
