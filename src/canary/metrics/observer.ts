// Samples a canary: what each version served since the last sample, and the state of its pods. A watch provides the
// pods, so the API server only has to return counters.
import type { Cluster } from '../../cluster/client.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import { isReady } from '../../cluster/pods.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { hasRunningSidecar, sidecarRestarts } from '../../mesh/sidecar.ts'
import type { MetricNames, Reading } from '../../envoy/counters.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { addLimitCounts, addRequests, noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import type { Observation } from '../state/types.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { createCounterMemory, type CounterMemory } from './counter-memory.ts'
import { podId, type CounterReader } from './counter-reader.ts'
import { healthOf, restartsOf, type Health } from './pod-health.ts'
import { rememberRoles, type Role, type VersionRole } from './pod-roles.ts'
import { createPodSampler } from './pod-sampling.ts'
import { prometheusClient } from '../../observability/metrics/prometheus-client.ts'
import { prometheusReader } from './prometheus-counters.ts'
import { countCalls, countServed } from './request-outcomes.ts'
import { defaultRetries, type RetryPolicy } from './retries.ts'
import { sidecarReader } from './sidecars.ts'
import { countUnserved } from './unserved-requests.ts'
import { attributeToVersions } from './version-attribution.ts'
import { createVersionCounter, type PodReading } from './version-counter.ts'

/**
 * What to watch: the pods of each version by their labels, and the service by its names. `retries`: the policies of the
 * routes to it, as they are now.
 */
export type ObservedService = VersionSelectors & {
  namespace: string
  host: string
  plan: CanaryConfig
  retries?: () => RetryPolicy[]
}

/**
 * `countsAll`: the counters of all pods of both versions were read at once, so that their shares can be compared.
 * `canaryTries`: the requests that reached the canary, also those that no caller counts.
 */
export type Sample = {
  observed: Omit<Observation, 'findings' | 'gates'>
  health: Health
  countsAll: boolean
  canaryTries: number
}

export type Observer = {
  sample: () => Promise<Sample>
  /** What stable's pods had served before the first sample. */
  baseline: RequestCounts
  canaries: () => Pod[]
}

/** @throws Error if the counters cannot be read at all: a right is missing, or Prometheus is not there. */
export async function createObserver(
  cluster: Cluster,
  watches: ObjectWatch<Pod>[],
  service: ObservedService,
  note: (line: string) => void,
  readCounters: CounterReader = counterReaderFor(cluster, service),
): Promise<Observer> {
  const { metrics, maxPods, prometheus } = service.plan
  // Prometheus may still have the counters from before a restart.
  const restartsSeen = (pod: Pod) => (prometheus?.counters ? undefined : sidecarRestarts(pod))
  const hosts = hostsOf(service)
  const ownHosts = ownHostsOf(service) ?? {}
  const role = rememberRoles(service, service.namespace)
  const pods = () => uniquePods(watches.flatMap((watch) => watch.current()))
  const canariesOf = (all: Pod[]) => all.filter((pod) => role(pod) === 'canary')
  // The checks use the durations that the versions' own sidecars report, so those of callers are not read.
  const needsDurations = (pod: Pod) => role(pod) !== 'client'
  const { requestsPerSecond = Infinity } = cluster
  // With more pods of each kind, the requests of one sample would take longer than a sample may.
  const affordable = prometheus?.counters ? () => Infinity : (readCounters.mostOfEachKind ?? (() => requestsPerSecond))
  const sampler = createPodSampler(maxPods, role, note, affordable)
  const memory = createCounterMemory()
  const countVersions = createVersionCounter(metrics, hosts)
  const retries = service.retries ?? (() => [defaultRetries])
  const calls = (reading: Reading) => countCalls(reading, metrics, hosts)
  const callers = new Set<string>()
  let silentBefore = new Set<string>()
  let countedAll = false

  /** Of the pods of this version that have a sidecar. */
  function shareRead(version: VersionRole, running: Pod[], sampled: Pod[]): number {
    const count = (pods: Pod[]) => pods.filter((pod) => role(pod) === version).length
    return count(running) === 0 ? 1 : count(sampled) / count(running)
  }

  /** Reads clients less often that never call or do not answer. @returns true if all that have ever called answered. */
  function rememberCallers(running: Pod[], sampled: Pod[], readings: PodReading[]): boolean {
    const answered = new Set(readings.map(({ pod }) => podId(pod)))
    const clients = readings.filter((each) => each.role === 'client')
    const idle = clients.filter(({ reading }) => calls(reading).requests === 0).map(({ pod }) => pod)
    clients.filter(({ pod }) => !idle.includes(pod)).forEach(({ pod }) => callers.add(podId(pod)))
    const silent = sampled.filter((pod) => role(pod) === 'client' && !answered.has(podId(pod)))
    const isRetried = (id: string) => callers.has(id) && !silentBefore.has(id)
    // A client that does not answer would delay every sample. One that calls the service may show a failure, though.
    sampler.skip(silent.filter((pod) => !isRetried(podId(pod))))
    silentBefore = new Set(silent.map(podId))
    sampler.skipIdle(idle)
    return running.map(podId).every((id) => !callers.has(id) || answered.has(id))
  }

  async function sample(): Promise<Sample> {
    const running = pods().filter(hasRunningSidecar)
    const sampled = sampler.choose(running)
    for (const id of sampler.dropped()) {
      memory.forget(id)
      callers.delete(id)
    }
    memory.register(running, sampled, pods())
    const answers = await readCounters(sampled, needsDurations).catch(() => new Map<string, Reading>())
    const all = pods()
    const readings = podReadings(sampled, answers, role, memory, restartsSeen)
    const haveCallersAnswered = rememberCallers(running, sampled, readings)
    const complete = watches.every((watch) => watch.fresh()) && allCanariesRead(sampled.map(role), readings)
    const users = readings.map(({ delta }) => calls(delta)).reduce(addRequests, noRequests)
    const attribution = attributeToVersions(all, role, ownHosts)
    const unserved = readings
      .map(({ pod, delta }) => countUnserved(delta, metrics, hosts, pod.metadata.namespace ?? '', attribution))
      .reduce(addLimitCounts, { requests: 0, violations: 0 })
    const { canary, stable, canaryTries } = countVersions({
      readings,
      attribution,
      retries: retries(),
      complete,
      // Prometheus scrapes each sidecar at another time.
      knowsCallers: !prometheus?.counters && haveCallersAnswered,
      readShare: { canary: shareRead('canary', running, sampled), stable: shareRead('stable', running, sampled) },
    })
    const health = healthOf(canariesOf(all), restarts)
    // A pod that did not answer last time reports what it has served since the time before.
    const countedAllBefore = countedAll
    countedAll = !prometheus?.counters && countsAllVersions(all, readings, role)
    return {
      observed: {
        canary,
        stable,
        users,
        unserved,
        ready: health.ready,
        ...(health.podFailure ? { fault: health.podFailure.text } : {}),
        complete,
        ...(haveCallersAnswered ? {} : { callersSilent: true }),
      },
      health,
      countsAll: countedAll && countedAllBefore,
      canaryTries,
    }
  }

  memory.register(pods().filter(hasRunningSidecar), [], pods())
  const restarts = restartsOf(canariesOf(pods()))
  const first = sampler.choose(pods().filter(hasRunningSidecar))
  const baseline = podReadings(first, await readCounters(first, needsDurations), role, memory, restartsSeen)
    .filter((each) => each.role === 'stable')
    .map(({ reading }) => countServed(reading, metrics))
    .reduce(addRequests, noRequests)
  return { sample, baseline, canaries: () => canariesOf(pods()) }
}

/** Several watches may list the same pod. */
function uniquePods(pods: readonly Pod[]): Pod[] {
  return [...new Map(pods.map((pod) => [podId(pod), pod])).values()]
}

/** Without the pods that did not answer. */
function podReadings(
  sampled: Pod[],
  answers: Map<string, Reading>,
  role: (pod: Pod) => Role,
  memory: CounterMemory,
  restarts: (pod: Pod) => number | undefined,
): PodReading[] {
  return sampled.flatMap((pod) => {
    const id = podId(pod)
    const reading = answers.get(id)
    if (!reading) return []
    const ofRole = role(pod)
    const delta = memory.deltaSince(id, reading, restarts(pod), ofRole !== 'client')
    return [{ pod, role: ofRole, reading, delta }]
  })
}

function allCanariesRead(roles: Role[], readings: PodReading[]): boolean {
  const expected = roles.filter((role) => role === 'canary').length
  return expected > 0 && readings.filter(({ role }) => role === 'canary').length === expected
}

/** A pod without a sidecar serves requests, too, and nothing counts them. */
function countsAllVersions(pods: Pod[], readings: PodReading[], role: (pod: Pod) => Role): boolean {
  const read = new Set(readings.map(({ pod }) => podId(pod)))
  return pods.every((pod) => role(pod) === 'client' || read.has(podId(pod)) || !isReady(pod))
}

/** `readSidecars`: makes a reader that other promotions share. */
export function counterReaderFor(
  cluster: Cluster,
  service: ObservedService,
  readSidecars: (metrics: MetricNames) => CounterReader = (metrics) => sidecarReader(cluster, metrics),
): CounterReader {
  const { prometheus, metrics } = service.plan
  if (!prometheus?.counters) return readSidecars(metrics)
  return prometheusReader(prometheusClient(cluster, prometheus), metrics, hostsOf(service))
}

/** Of a canary whose two Services a controller keeps apart; both may lead to pods of one workload. */
function ownHostsOf({
  namespace,
  plan: { engine, stable, canary },
}: ObservedService): Record<VersionRole, string> | undefined {
  if (engine.type === 'builtin' || stable.by !== 'service' || canary.by !== 'service') return undefined
  return { stable: hostOf(stable.name, namespace), canary: hostOf(canary.name, namespace) }
}

/** A caller counts a request under the host that its route chose, which may be a version's own Service. */
function hostsOf({ host, namespace, plan: { stable, canary } }: ObservedService): string[] {
  const services = [stable, canary].filter(({ by }) => by === 'service')
  return [host, ...services.map(({ name }) => hostOf(name, namespace))]
}
