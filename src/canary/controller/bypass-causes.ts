// Looks up why requests bypass the split of a canary: what the cluster shows now, and what could not be read.
import type { Cluster } from '../../cluster/client.ts'
import { titleOf, type DestinationRule, type Pod } from '../../cluster/objects.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { counterDeltas, labelsOf, type MetricNames, type Reading } from '../../envoy/counters.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { fullHost, type Split } from '../../policies/routes.ts'
import type { Clock } from '../../runtime/clock.ts'
import { verifyProxies } from '../../verify/proxies.ts'
import { podId } from '../metrics/counter-reader.ts'
import { roleOf } from '../metrics/pod-roles.ts'
import { countCalls } from '../metrics/request-outcomes.ts'
import { sidecarReader } from '../metrics/sidecars.ts'
import { attributeToVersions } from '../metrics/version-attribution.ts'
import type { PinnedVersions } from '../../policies/weights/route-bypasses.ts'
import { findBypasses, type Bypasses } from '../traffic/bypasses.ts'
import type { VersionSelectors } from '../workload/selectors.ts'

/** Where to look. `clients`: namespaces whose pods call the service, besides its own. Plain data. */
export type LookupScope = { selectors: VersionSelectors; clients?: string[] | undefined; metrics: MetricNames }

/** How long to watch who calls. */
const watchMs = 2_000

/**
 * `causes`: a sentence each. `callers`: those in the mesh whose proxies send requests to the canary now. `notes`: what
 * was looked at in vain, what could not be read, and what else may be the cause. `pinned`: see PinnedVersions.
 */
export type Lookup = { causes: string[]; callers: string[]; notes: string; pinned: PinnedVersions }

export async function lookUpCauses(cluster: Cluster, split: Split, scope: LookupScope, clock: Clock): Promise<Lookup> {
  const bypasses = await findBypasses(cluster, split, scope, scope.selectors).catch(() => undefined)
  const pinned = bypasses?.pinned ?? { stable: false, canary: false }
  const notes = describeSearch(bypasses)
  if (bypasses && bypasses.faults.length > 0) return { causes: bypasses.faults, callers: [], notes, pinned }
  const seen = await watchCallers(cluster, split, scope, clock).catch(() => ({ plain: [], callers: [] }))
  const stale = await staleProxies(cluster, split, scope)
  return {
    causes: [...stale, ...seen.plain, ...(await consistentHashes(cluster, split))],
    callers: seen.callers,
    notes,
    pinned,
  }
}

function describeSearch(bypasses: Bypasses | undefined): string {
  const { suspects = [], unseen = [] } = bypasses ?? {}
  const looked = 'this run found no route past the split, no proxy that is out of sync and no request in plain text'
  const rest = [
    ...(bypasses ? [] : ['it could not read the routes']),
    ...(unseen.length > 0 ? [`it may not read ${unseen.join(', ')}`] : []),
    ...(suspects.length > 0 ? [`look at ${suspects.join('; ')}`] : []),
  ]
  return [looked, ...rest].join('; ')
}

async function staleProxies(cluster: Cluster, { namespace }: Split, { clients = [] }: LookupScope): Promise<string[]> {
  const places = [...new Set([namespace, ...clients])]
  const perPlace = places.map((place) => verifyProxies(cluster, place, undefined, 0).catch(() => []))
  return (await Promise.all(perPlace))
    .flat()
    .flatMap(({ pod, cause, isUnread }) =>
      cause === undefined || isUnread ? [] : [`the proxy of ${pod} is out of sync: ${cause}`],
    )
}

type PodDelta = { pod: Pod; delta: Reading }

/** Which callers send requests to the canary now, and how many requests come from callers without a sidecar. */
async function watchCallers(
  cluster: Cluster,
  split: Split,
  { selectors, clients = [], metrics }: LookupScope,
  clock: Clock,
): Promise<{ plain: string[]; callers: string[] }> {
  const places = [...new Set([split.namespace, ...clients])]
  const lists = await Promise.all(places.map((place) => cluster.list<Pod>('Pod', place).catch(() => [])))
  const pods = lists.flat().filter(hasRunningSidecar)
  const deltas = await watchPods(cluster, pods, metrics, clock)
  const role = (pod: Pod) => roleOf(pod, selectors, split.namespace)
  const served = deltas.filter(({ pod }) => role(pod) !== 'client')
  const plain = sum(served, metrics, ({ connection_security_policy }) => connection_security_policy === 'none')
  const all = sum(served, metrics, () => true)
  const sentence =
    `${plain} of ${all} requests in ${watchMs / 1000} s came in plain text, and so past the routes of the mesh: their ` +
    'callers have no sidecar, or one that does not know the service; give them one, or send them through a gateway'
  return {
    plain: plain > 0 ? [sentence] : [],
    callers: callersOf(deltas, split, metrics, attributeToVersions(pods, role).canary, role),
  }
}

async function watchPods(cluster: Cluster, pods: Pod[], metrics: MetricNames, clock: Clock): Promise<PodDelta[]> {
  const read = sidecarReader(cluster, metrics)
  const before = await read(pods)
  await clock.sleep(watchMs)
  const after = await read(pods)
  return pods.flatMap((pod) => {
    const [first, last] = [before.get(podId(pod)), after.get(podId(pod))]
    return first && last ? [{ pod, delta: counterDeltas(first, last) }] : []
  })
}

type LabelTest = (labels: Readonly<Record<string, string>>) => boolean

function sum(deltas: PodDelta[], { requests }: MetricNames, test: LabelTest): number {
  return deltas
    .flatMap(({ delta }) => [...delta])
    .filter(([series]) => series.startsWith(`${requests}{`))
    .map(([series, count]) => ({ labels: labelsOf(series), count }))
    .filter(({ labels }) => labels['reporter'] === 'destination' && test(labels))
    .reduce((total, { count }) => total + count, 0)
}

/** Callers in the mesh whose requests reach the canary, with their share there. */
function callersOf(
  deltas: PodDelta[],
  { service, namespace, canary }: Split,
  metrics: MetricNames,
  isCanary: LabelTest,
  role: (pod: Pod) => string,
): string[] {
  const hosts = [hostOf(service, namespace), ...(canary.by === 'service' ? [hostOf(canary.name, namespace)] : [])]
  return deltas.flatMap(({ pod, delta }) => {
    const calls = countCalls(delta, metrics, hosts).requests
    const toCanary = countCalls(onlyTo(delta, isCanary), metrics, hosts).requests
    if (role(pod) !== 'client' || toCanary === 0) return []
    return [`${pod.metadata.name} sends ${toCanary} of its ${calls} requests to ${canary.name}`]
  })
}

function onlyTo(delta: Reading, isCanary: LabelTest): Reading {
  return new Map([...delta].filter(([series]) => isCanary(labelsOf(series))))
}

type TrafficPolicy = { loadBalancer?: { consistentHash?: object } }

/** With a hash, a user stays with one version, so a few busy users decide the share. */
async function consistentHashes(cluster: Cluster, { service, namespace }: Split): Promise<string[]> {
  const rules = await cluster.list<DestinationRule>('DestinationRule', namespace).catch(() => [])
  const isHashed = ({ spec }: DestinationRule) =>
    (spec['trafficPolicy'] as TrafficPolicy | undefined)?.loadBalancer?.consistentHash !== undefined
  return rules
    .filter((rule) => fullHost(rule.spec.host, namespace) === hostOf(service, namespace) && isHashed(rule))
    .map(
      (rule) =>
        `the ${titleOf(rule)} has a consistent hash, which keeps each user at one version, so few users decide the ` +
        'share; remove it during the promotion, or promote with more users',
    )
}
