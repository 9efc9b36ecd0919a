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
import {
  addLimitCounts,
  addRequests,
  noRequests,
  type LimitCounts,
  type RequestCounts,
} from '../analysis/request-counts.ts'
import type { Observation } from '../state/types.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { createCounterMemory } from './counter-memory.ts'
import { podId, type CounterReader } from './counter-reader.ts'
import { healthOf, restartsOf, type Health, type Restarts } from './pod-health.ts'
import { rememberRoles, type Role, type VersionRole } from './pod-roles.ts'
import { createPodSampler, type PodSampler } from './pod-sampling.ts'
import { prometheusClient } from '../../observability/metrics/prometheus-client.ts'
import { prometheusReader } from './prometheus-counters.ts'
import { countCalls, countServed } from './request-outcomes.ts'
import { defaultRetries, type RetryPolicy } from './retries.ts'
import { sidecarReader } from './sidecars.ts'
import { findUnreadable } from './unreadable-series.ts'
import { countUnserved } from './unserved-requests.ts'
import { attributeToVersions } from './version-attribution.ts'
import { createVersionCounter, type PodReading, type VersionCounter, type VersionCounts } from './version-counter.ts'

/**
 * What to watch: the pods of each version by their labels, and the service by its names. `retries`: the policies of the
 * routes to it, as they are now. `warn`: gets a line if the plan does without counters that nobody can read.
 */
export type ObservedService = VersionSelectors & {
  namespace: string
  host: string
  plan: CanaryConfig
  retries?: () => RetryPolicy[]
  warn?: (line: string) => void
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
  /** Of the canary's pods, as they are now. */
  health: () => Health
}

/** @throws Error if the counters cannot be read at all: a right is missing, or Prometheus is not there. */
export async function createObserver(
  cluster: Cluster,
  watches: ObjectWatch<Pod>[],
  service: ObservedService,
  note: (line: string) => void,
  readCounters: CounterReader = counterReaderFor(cluster, service),
): Promise<Observer> {
  const observer = new CanaryObserver(cluster, watches, service, note, readCounters)
  await observer.start()
  return observer
}

/** `running`: the pods with a sidecar before the reading, of which it asked those in `sampled`. `all`: the pods after it. */
type SidecarReadings = {
  running: Pod[]
  sampled: Pod[]
  all: Pod[]
  readings: PodReading[]
  haveCallersAnswered: boolean
  complete: boolean
}

type Counts = VersionCounts & { users: RequestCounts; unserved: LimitCounts }

class CanaryObserver implements Observer {
  baseline = noRequests
  private readonly watches: ObjectWatch<Pod>[]
  private readonly service: ObservedService
  private readonly readCounters: CounterReader
  private readonly hosts: string[]
  private readonly role: (pod: Pod) => Role
  private readonly sampler: PodSampler
  private readonly memory = createCounterMemory()
  private readonly countVersions: VersionCounter
  private restarts: Restarts = new Map()
  private readonly callers = new Set<string>()
  private silentBefore = new Set<string>()
  private countedAll = false
  private unreadable: string | undefined

  constructor(
    cluster: Cluster,
    watches: ObjectWatch<Pod>[],
    service: ObservedService,
    note: (line: string) => void,
    readCounters: CounterReader,
  ) {
    this.watches = watches
    this.service = service
    this.readCounters = readCounters
    this.hosts = hostsOf(service)
    this.role = rememberRoles(service, service.namespace)
    this.countVersions = createVersionCounter(service.plan.metrics, this.hosts)
    const { requestsPerSecond = Infinity } = cluster
    // With more pods of each kind, the requests of one sample would take longer than a sample may.
    const affordable = this.readsPrometheus
      ? () => Infinity
      : (readCounters.mostOfEachKind ?? (() => requestsPerSecond))
    this.sampler = createPodSampler(service.plan.maxPods, this.role, note, affordable)
  }

  async start(): Promise<void> {
    this.memory.register(this.pods().filter(hasRunningSidecar), [], this.pods())
    this.restarts = restartsOf(this.canaries())
    const first = this.sampler.choose(this.pods().filter(hasRunningSidecar))
    const answers = await this.readCounters(first, (pod) => this.needsDurations(pod))
    this.baseline = this.podReadings(first, answers)
      .filter((each) => each.role === 'stable')
      .map(({ reading }) => countServed(reading, this.service.plan.metrics))
      .reduce(addRequests, noRequests)
  }

  async sample(): Promise<Sample> {
    const read = await this.read()
    return this.toSample(read, this.count(read))
  }

  health(): Health {
    return healthOf(this.canaries(), this.restarts)
  }

  canaries(): Pod[] {
    return this.canariesOf(this.pods())
  }

  /** Prometheus scrapes each sidecar at another time, and may still have the counters from before a restart. */
  private get readsPrometheus(): boolean {
    return this.service.plan.prometheus?.counters === true
  }

  private async read(): Promise<SidecarReadings> {
    const running = this.pods().filter(hasRunningSidecar)
    const sampled = this.sampler.choose(running)
    for (const id of this.sampler.dropped()) {
      this.memory.forget(id)
      this.callers.delete(id)
    }
    this.memory.register(running, sampled, this.pods())
    const answers = await this.readCounters(sampled, (pod) => this.needsDurations(pod)).catch(
      () => new Map<string, Reading>(),
    )
    const all = this.pods()
    const readings = this.podReadings(sampled, answers)
    const haveCallersAnswered = this.rememberCallers(running, sampled, readings)
    this.lookForUnreadable(readings)
    const areWatchesFresh = this.watches.every((watch) => watch.fresh())
    const complete = areWatchesFresh && allCanariesRead(sampled.map(this.role), readings)
    return { running, sampled, all, readings, haveCallersAnswered, complete }
  }

  /** What came before such a sample is no evidence either, so later ones do not make up for it. */
  private lookForUnreadable(readings: PodReading[]): void {
    if (this.unreadable !== undefined) return
    const { plan, warn = () => undefined } = this.service
    this.unreadable = readings
      .map(({ delta, role }) => findUnreadable(delta, plan.metrics, this.hosts, role !== 'client'))
      .find((fault) => fault !== undefined)
    if (this.unreadable !== undefined && this.needsNoCount)
      warn(`${this.unreadable}; with \`minRequests: 0\` this run goes on, and its success rate may miss failures`)
  }

  /** Without `minRequests`, the user decides to promote without a count. */
  private get needsNoCount(): boolean {
    return this.service.plan.checks.minRequests === 0
  }

  private count({ running, sampled, all, readings, haveCallersAnswered, complete }: SidecarReadings): Counts {
    const { plan, retries = () => [defaultRetries] } = this.service
    const attribution = attributeToVersions(all, this.role, ownHostsOf(this.service) ?? {})
    const users = readings.map(({ delta }) => this.callsIn(delta)).reduce(addRequests, noRequests)
    const unserved = readings
      .map(({ pod, delta }) =>
        countUnserved(delta, plan.metrics, this.hosts, pod.metadata.namespace ?? '', attribution),
      )
      .reduce(addLimitCounts, { requests: 0, violations: 0 })
    const versions = this.countVersions({
      readings,
      attribution,
      retries: retries(),
      complete,
      knowsCallers: !this.readsPrometheus && haveCallersAnswered,
      readShare: {
        canary: this.shareRead('canary', running, sampled),
        stable: this.shareRead('stable', running, sampled),
      },
    })
    return { ...versions, users, unserved }
  }

  private toSample(
    { all, readings, haveCallersAnswered, complete }: SidecarReadings,
    { canary, stable, canaryTries, users, unserved }: Counts,
  ): Sample {
    const health = this.health()
    // A pod that did not answer last time reports what it has served since the time before.
    const countedAllBefore = this.countedAll
    this.countedAll = !this.readsPrometheus && countsAllVersions(all, readings, this.role)
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
        ...(this.unreadable === undefined || this.needsNoCount ? {} : { unreadable: this.unreadable }),
      },
      health,
      countsAll: this.countedAll && countedAllBefore,
      canaryTries,
    }
  }

  private pods(): Pod[] {
    return uniquePods(this.watches.flatMap((watch) => watch.current()))
  }

  private canariesOf(pods: Pod[]): Pod[] {
    return pods.filter((pod) => this.role(pod) === 'canary')
  }

  /** The checks use the durations that the versions' own sidecars report, so those of callers are not read. */
  private needsDurations(pod: Pod): boolean {
    return this.role(pod) !== 'client'
  }

  private callsIn(reading: Reading): RequestCounts {
    return countCalls(reading, this.service.plan.metrics, this.hosts)
  }

  /** Without the pods that did not answer. */
  private podReadings(sampled: Pod[], answers: Map<string, Reading>): PodReading[] {
    return sampled.flatMap((pod) => {
      const id = podId(pod)
      const reading = answers.get(id)
      if (!reading) return []
      const restarts = this.readsPrometheus ? undefined : sidecarRestarts(pod)
      const delta = this.memory.deltaSince(id, reading, restarts, this.needsDurations(pod))
      return [{ pod, role: this.role(pod), reading, delta }]
    })
  }

  /** Of the pods of this version that have a sidecar. */
  private shareRead(version: VersionRole, running: Pod[], sampled: Pod[]): number {
    const count = (pods: Pod[]) => pods.filter((pod) => this.role(pod) === version).length
    return count(running) === 0 ? 1 : count(sampled) / count(running)
  }

  /** Reads clients less often that never call or do not answer. @returns true if all that have ever called answered. */
  private rememberCallers(running: Pod[], sampled: Pod[], readings: PodReading[]): boolean {
    const answered = new Set(readings.map(({ pod }) => podId(pod)))
    const clients = readings.filter((each) => each.role === 'client')
    const idle = clients.filter(({ reading }) => this.callsIn(reading).requests === 0).map(({ pod }) => pod)
    clients.filter(({ pod }) => !idle.includes(pod)).forEach(({ pod }) => this.callers.add(podId(pod)))
    const silent = sampled.filter((pod) => this.role(pod) === 'client' && !answered.has(podId(pod)))
    const isRetried = (id: string) => this.callers.has(id) && !this.silentBefore.has(id)
    // A client that does not answer would delay every sample. One that calls the service may show a failure, though.
    this.sampler.skip(silent.filter((pod) => !isRetried(podId(pod))))
    this.silentBefore = new Set(silent.map(podId))
    this.sampler.skipIdle(idle)
    return running.map(podId).every((id) => !this.callers.has(id) || answered.has(id))
  }
}

/** Several watches may list the same pod. */
function uniquePods(pods: readonly Pod[]): Pod[] {
  return [...new Map(pods.map((pod) => [podId(pod), pod])).values()]
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
