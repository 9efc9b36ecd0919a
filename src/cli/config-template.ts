// A config to start with, from the objects in a namespace. It guesses nothing that could move traffic.
// Pure: the same objects give the same text.
import type { KubeObject, Workload } from '../cluster/objects.ts'
import { defaultVersion } from '../config/istio-version.ts'
import { canaryDefaults } from '../config/schema/canary.ts'
import { defaultSuccessRate } from '../config/schema/checks.ts'
import { defaultRevision } from '../mesh/labels.ts'
import { restartOrder } from './call-graph.ts'
import {
  byName,
  candidatesOf,
  quoted,
  servicesWithPods,
  subsetOf,
  type DiscoveredCluster,
  type ServiceCandidate,
} from './service-candidates.ts'

/** `summary`: one sentence about what was found. */
export function configTemplate(cluster: DiscoveredCluster): { text: string; summary: string } {
  const { namespace, workloads } = cluster
  const candidates = candidatesOf(cluster)
  const ordered = restartOrder(
    namespace,
    byName(workloads),
    servicesWithPods(cluster).map(({ service }) => service),
  )
  const free = candidates.filter(({ conflicts }) => conflicts.length === 0)
  const [canary, ...otherCanaries] = free.filter(({ versions }) => versions.length > 1)
  const release = canary ? undefined : free.find(({ deployment }) => deployment !== undefined)
  const sections = [
    headerLines(namespace),
    istioLines(cluster),
    workloadLines(ordered),
    mtlsLines(cluster),
    serviceLines(candidates),
    canary ? canaryLines(canary) : release ? releaseLines(release) : canaryComment(free[0]),
    otherCanaries.map(otherCanaryComment),
    exposeComment(candidates[0]),
  ]
  const canarySummary = canary
    ? `, and a canary of ${canary.name} (${stableOf(canary)} to ${canaryOf(canary)})`
    : release
      ? `, and releases of ${release.name} by its image`
      : ''
  return {
    text: sections
      .filter((lines) => lines.length > 0)
      .map((lines) => `${lines.join('\n')}\n`)
      .join('\n'),
    summary: `${ordered.length} workloads, ${candidates.length} services that speak HTTP${canarySummary}`,
  }
}

function headerLines(namespace: string): string[] {
  return [
    '# yaml-language-server: $schema=mesh.schema.json',
    `# Created by \`mesh-canary init\` from the objects in the namespace ${namespace}.`,
    '# `mesh-canary plan` shows what this config would change.',
    `namespace: ${quoted(namespace)}`,
  ]
}

function istioLines({ istio }: DiscoveredCluster): string[] {
  if (istio === undefined)
    return [
      '# The control plane. The cluster has none, so `run` installs this one.',
      `istio: { version: ${defaultVersion}, profile: default }`,
    ]
  if (typeof istio === 'string')
    return [
      '# The control plane. Whether the cluster has one cannot be read:',
      `# ${oneLine(istio)}`,
      '# With this section, `run` installs or changes it.',
      `# istio: { version: ${defaultVersion}, profile: default }`,
    ]
  const revision = istio.revision === defaultRevision ? '' : `revision: ${istio.revision}, `
  return [
    `# The control plane. Istio ${istio.version} is installed and stays as it is.`,
    '# With this section, `run` keeps it as written here, and `plan` runs `istioctl analyze`.',
    `# istio: { version: ${istio.version}, ${revision}profile: default }`,
  ]
}

const shortKinds: Record<string, string> = { Deployment: 'deploy', StatefulSet: 'sts', DaemonSet: 'ds' }

function workloadLines(workloads: Workload[]): string[] {
  if (workloads.length === 0) return ['# Workloads that get a sidecar. The namespace has none yet.', '# workloads: all']
  const names = workloads.map(({ kind, metadata }) => `${shortKinds[kind]!}/${metadata.name}`)
  return [
    '# Workloads that get a sidecar. Those without one restart in this order.',
    '# Callers come before the workloads that they call, as far as their settings show that.',
    '# Workloads that speak plain TCP come last, because a database that speaks first does not answer',
    '# callers without a sidecar once it has a sidecar itself.',
    `workloads: [${names.join(', ')}]`,
  ]
}

function mtlsLines({ peerAuthentications }: DiscoveredCluster): string[] {
  if (typeof peerAuthentications === 'string')
    return [
      '# Mutual TLS. Whether the namespace has a PeerAuthentication already cannot be read:',
      `# ${oneLine(peerAuthentications)}`,
      '# mtls: permissive',
    ]
  if (peerAuthentications.length === 0)
    return [
      '# Callers without a sidecar are still accepted. Use `strict` once all callers have one.',
      'mtls: permissive',
    ]
  return [
    `# Mutual TLS. ${peerAuthentications.map(titleOf).join(', ')} already exists and stays as it is.`,
    '# mtls: strict',
  ]
}

function serviceLines(candidates: ServiceCandidate[]): string[] {
  const free = candidates.filter(({ conflicts }) => conflicts.length === 0)
  const conflicting = candidates.filter(({ conflicts }) => conflicts.length > 0)
  return [
    '# Traffic policies by service.',
    ...(free.length === 0 ? ['services: {}'] : ['services:', ...free.flatMap((each, i) => policyLines(each, i === 0))]),
    ...conflicting.flatMap((each) => [
      `  # ${each.name} already has policies (${each.conflicts.map(titleOf).join(', ')}).`,
      '  # Move them here and delete those objects, or hand the objects over with the label',
      '  # app.kubernetes.io/managed-by=mesh-canary. Then uncomment:',
      ...policyLines(each, false).map((line) => `  # ${line.slice(2)}`),
    ]),
  ]
}

function policyLines({ name, port, versions }: ServiceCandidate, withHints: boolean): string[] {
  const hints = ['    # timeout: 10s', '    # retries: { attempts: 3, perTryTimeout: 2s }']
  const subsets = versions.map((version) => `      ${subsetOf(version)}: { version: ${quoted(version)} }`)
  return [
    `  ${name}:`,
    `    port: ${port}`,
    ...(withHints ? hints : []),
    ...(versions.length > 1 ? ['    subsets:', ...subsets] : []),
  ]
}

/** The lowest version is stable. */
const stableOf = ({ versions }: ServiceCandidate) => subsetOf(versions[0]!)
/** The highest version is the canary. */
const canaryOf = ({ versions }: ServiceCandidate) => subsetOf(versions.at(-1)!)

/** `versions`: the lines that say what is promoted. */
function canarySection(service: string, versions: string[]): string[] {
  return [
    'canary:',
    `  service: ${quoted(service)}`,
    ...versions.map((line) => `  ${line}`),
    `  steps: [${canaryDefaults.steps.join(', ')}]`,
    `  interval: ${canaryDefaults.interval}`,
    `  checks: { successRate: ${defaultSuccessRate} }`,
  ]
}

function canaryLines(service: ServiceCandidate): string[] {
  const stable = stableOf(service)
  return [
    `# The promotion, by \`mesh-canary promote\`. Until then, all traffic of ${service.name} goes to ${stable}.`,
    ...canarySection(service.name, [`stable: ${stable}`, `canary: ${canaryOf(service)}`]),
  ]
}

/** A release of nothing, until a workflow or a command passes an image. */
function releaseLines({ name, deployment }: ServiceCandidate): string[] {
  return [
    `# Releases of the Deployment ${deployment!} by its image: a canary of it gets the traffic step by step, and the`,
    '# Deployment gets the image in the end. Pass the image as the input `image`, or with --image.',
    ...canarySection(name, ['image: current']),
  ]
}

/** A canary to uncomment once the service has a second version. */
function canaryComment(service: ServiceCandidate | undefined): string[] {
  if (!service) return []
  const { name, versions } = service
  const stable = versions[0] === undefined ? 'v1' : subsetOf(versions[0])
  const lacking = versions.length === 0 ? ', and its pods have no label `version`' : ''
  return [
    `# The promotion. ${name} has only one version${lacking}.`,
    '# Once there is a second one, whose pods have another value of the label `version`, uncomment:',
    ...canarySection(name, [`stable: ${stable}`, `canary: ${stable === 'v2' ? 'v3' : 'v2'}`]).map(
      (line) => `# ${line}`,
    ),
  ]
}

function otherCanaryComment({ name, versions }: ServiceCandidate): string {
  return (
    `# ${name} also has several versions (${versions.join(', ')}). ` +
    'To promote several services together, see `canaries`.'
  )
}

function exposeComment(service: ServiceCandidate | undefined): string[] {
  if (!service) return []
  const { name, port } = service
  return [
    '# To expose a service through the ingress gateway:',
    `# expose: { ${name}: { port: ${port}, hosts: [${name}.example.com] } }`,
  ]
}

/** A comment has one line. */
function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, ' ').trim()
}

function titleOf({ kind, metadata }: KubeObject): string {
  return `the ${kind} ${metadata.name}`
}
