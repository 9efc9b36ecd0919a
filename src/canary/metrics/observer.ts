// One look at a canary: what each version served since the look before, as its own sidecars and its callers' counted it,
// and how its pods are. Pods come from the watch; the API server is asked for counters only.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { hostOf } from '../../policies/compile/index.ts'
import type { VersionSelectors, Labels } from '../workload/selectors.ts'
import type { Observation } from '../state/machine.ts'
import { noRequests, addRequests, type RequestCounts } from '../analysis/request-counts.ts'
import {
  countCalls,
  counterDeltas,
  countCallerFailures,
  countServed,
  type CallerFailures,
  type Reading,
  type SeriesLabels,
} from './counters.ts'
import { healthOf, restartsOf, type Health } from './pod-health.ts'
import { prometheusClient, prometheusReader } from './prometheus.ts'
import { reconcile, nothingPending } from './settle.ts'
import { idOf, sidecarReader, type CounterReader } from './sidecars.ts'

/** What to watch: the pods of each version by their labels, and the service by its names. */
export type ObservedService = VersionSelectors & { namespace: string; host: string; plan: CanaryConfig }

export type Sample = { evidence: Omit<Observation, 'findings' | 'gates'>; health: Health }

export type Observer = {
  sample: () => Promise<Sample>
  /** What stable's pods had served before the first look. */
  baseline: RequestCounts
  canaries: () => Pod[]
}

type Role = 'canary' | 'stable' | 'client'
/** A pod that was asked and answered: all that it has counted, and what of it is new. */
type Answered = { pod: Pod; role: Role; reading: Reading; delta: Reading }

/** A client that never called the service is asked in one look of so many. */
const seldom = 10

/** @throws Error when the counters cannot be read at all: forbidden, or no Prometheus where there should be one. */
export async function createObserver(
  cluster: Cluster,
  lives: ObjectWatch<Pod>[],
  watched: ObservedService,
  note: (line: string) => void,
  read: CounterReader = readerOf(cluster, watched),
): Promise<Observer> {
  const { metrics, maxPods } = watched.plan
  const hosts = hostsOf(watched)
  const roleOf = roles(watched)
  const pods = () => [...new Map(lives.flatMap((live) => live.current()).map((pod) => [idOf(pod), pod])).values()]
  const canaries = () => pods().filter((pod) => roleOf(pod) === 'canary')
  const { choose, rest } = chooser(maxPods, roleOf, note)
  const { meet, added } = memory()
  const reconcile = reconciler(watched.plan, hosts)

  meet(pods().filter(hasRunningSidecar), [])
  const restarts = restartsOf(canaries())
  const early = choose(pods().filter(hasRunningSidecar))
  const first = answersOf(early, await read(early))
  const baseline = first
    .filter(({ role }) => role === 'stable')
    .map(({ reading }) => countServed(reading, metrics))
    .reduce(addRequests, noRequests)

  function answersOf(asked: Pod[], readings: Map<string, Reading>): Answered[] {
    return asked.flatMap((pod) => {
      const reading = readings.get(idOf(pod))
      return reading ? [{ pod, role: roleOf(pod), reading, delta: added(idOf(pod), reading) }] : []
    })
  }

  async function sample(): Promise<Sample> {
    const running = pods().filter(hasRunningSidecar)
    const asked = choose(running)
    meet(running, asked)
    const answered = answersOf(asked, await read(asked).catch(() => new Map<string, Reading>()))
    rest(
      answered
        .filter(({ role, reading }) => role === 'client' && countCalls(reading, metrics, hosts).requests === 0)
        .map(({ pod }) => pod),
    )

    const ofCanary = asked.filter((pod) => roleOf(pod) === 'canary').length
    const complete =
      lives.every((live) => live.fresh()) &&
      ofCanary > 0 &&
      answered.filter(({ role }) => role === 'canary').length === ofCanary
    const users = answered.map(({ delta }) => countCalls(delta, metrics, hosts)).reduce(addRequests, noRequests)
    const health = healthOf(canaries(), restarts)
    return {
      evidence: {
        ...reconcile(answered, namer(pods(), roleOf), complete),
        users,
        ready: health.ready,
        ...(health.fault ? { fault: health.fault.text } : {}),
        complete,
      },
      health,
    }
  }

  return { sample, baseline, canaries }
}

function roles({ namespace, canary, stable }: ObservedService): (pod: Pod) => Role {
  const isOf = ({ metadata }: Pod, labels: Labels) =>
    metadata.namespace === namespace && matches(labels, metadata.labels)
  return (pod) => (isOf(pod, canary) ? 'canary' : isOf(pod, stable) ? 'stable' : 'client')
}

/** What each version served, as its own sidecars and those of its callers have it, each request once. */
function reconciler(
  { metrics }: CanaryConfig,
  hosts: string[],
): (answered: Answered[], isCalled: Namer, complete: boolean) => Record<'canary' | 'stable', RequestCounts> {
  const pending = { canary: nothingPending, stable: nothingPending }
  return (answered, isCalled, complete) => {
    const of = (version: 'canary' | 'stable') => {
      const own = answered
        .filter(({ role }) => role === version)
        .map(({ delta }) => countServed(delta, metrics))
        .reduce(addRequests, noRequests)
      const missed = answered
        .map(({ delta }) => countCallerFailures(delta, metrics, hosts, isCalled[version]))
        .reduce(both, { unseen: 0, cut: 0 })
      const result = reconcile(pending[version], own, missed, complete)
      pending[version] = result.pending
      return result.served
    }
    return { canary: of('canary'), stable: of('stable') }
  }
}

function readerOf(cluster: Cluster, watched: ObservedService): CounterReader {
  const { plan } = watched
  return plan.prometheus?.counters
    ? prometheusReader(prometheusClient(cluster, plan.prometheus), plan.metrics, hostsOf(watched))
    : sidecarReader(cluster, plan.metrics)
}

/** A caller counts a request under the host that its route sent it to, which may be a version's own Service. */
function hostsOf({ host, namespace, plan: { stable, canary } }: ObservedService): string[] {
  return [host, ...[stable, canary].flatMap(({ by, name }) => (by === 'service' ? [hostOf(name, namespace)] : []))]
}

/** The last reading of each pod. A pod counts from zero unless it served before it was asked. */
function memory() {
  const met = new Set<string>()
  const old = new Set<string>()
  const readings = new Map<string, Reading>()
  return {
    /** `asked`: those whose counters are read from their first moment on. */
    meet: (pods: Pod[], asked: Pod[]) => {
      const young = new Set(asked.map(idOf))
      for (const id of pods.map(idOf).filter((each) => !met.has(each))) {
        met.add(id)
        if (!young.has(id)) old.add(id)
      }
    },
    /** What the pod has counted since its last reading. */
    added: (id: string, reading: Reading): Reading => {
      const before = readings.get(id) ?? (old.has(id) ? reading : new Map<string, number>())
      readings.set(id, reading)
      return counterDeltas(before, reading)
    },
  }
}

/** Of more pods than may be asked always the same ones, as long as they live; those that rest only now and then. */
function chooser(most: number, roleOf: (pod: Pod) => Role, note: (line: string) => void) {
  const sample = new Set<string>()
  const noted = new Set<Role>()
  const resting = new Map<string, number>()

  function some(role: Role, pods: Pod[]): Pod[] {
    if (pods.length > most && !noted.has(role))
      note(
        `${pods.length} pods of ${role === 'client' ? 'the clients' : role}: the sidecars of ${most} of them are asked (\`maxPods\`)`,
      )
    if (pods.length > most) noted.add(role)
    const chosen = [
      ...pods.filter((pod) => sample.has(idOf(pod))),
      ...pods.filter((pod) => !sample.has(idOf(pod))),
    ].slice(0, most)
    chosen.forEach((pod) => sample.add(idOf(pod)))
    return chosen
  }

  function isAwake(pod: Pod): boolean {
    const left = resting.get(idOf(pod)) ?? 0
    if (left > 0) resting.set(idOf(pod), left - 1)
    return left === 0
  }

  return {
    choose: (running: Pod[]) =>
      (['canary', 'stable', 'client'] as const)
        .flatMap((role) =>
          some(
            role,
            running.filter((pod) => roleOf(pod) === role),
          ),
        )
        .filter(isAwake),
    rest: (pods: Pod[]) => pods.forEach((pod) => resting.set(idOf(pod), seldom - 1)),
  }
}

type Namer = Record<'canary' | 'stable', (labels: SeriesLabels) => boolean>
type Names = { versions: Set<string>; workloads: Set<string> }

/** Whether a caller's series is about the one version or the other: by the workload's name where the caller knows it, else by the label `version`. */
function namer(pods: Pod[], roleOf: (pod: Pod) => Role): Namer {
  const [canary, stable] = [
    namesOf(pods.filter((pod) => roleOf(pod) === 'canary')),
    namesOf(pods.filter((pod) => roleOf(pod) === 'stable')),
  ]
  const isOf =
    (own: Names, other: Names) =>
    ({ destination_workload: workload = 'unknown', destination_version: version = 'unknown' }: SeriesLabels) =>
      workload === 'unknown' ? own.versions.has(version) && !other.versions.has(version) : own.workloads.has(workload)
  return { canary: isOf(canary, stable), stable: isOf(stable, canary) }
}

function namesOf(pods: Pod[]): Names {
  return {
    versions: new Set(pods.flatMap(({ metadata }) => metadata.labels?.['version'] ?? [])),
    workloads: new Set(pods.flatMap(({ metadata }) => workloadOf(metadata) ?? [])),
  }
}

/** A Deployment's pods belong to a ReplicaSet of its name and the hash of the template. */
function workloadOf({ ownerReferences, labels }: Pod['metadata']): string | undefined {
  const owner = ownerReferences?.find(({ controller }) => controller)?.name
  const hash = labels?.['pod-template-hash']
  return hash === undefined ? owner : owner?.replace(new RegExp(`-${hash}$`), '')
}

function both(a: CallerFailures, b: CallerFailures): CallerFailures {
  return { unseen: a.unseen + b.unseen, cut: a.cut + b.cut }
}
