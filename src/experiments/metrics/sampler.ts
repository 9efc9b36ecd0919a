// Samples the sidecars of an experiment through the API server: the users, the calls that the fault concerns, and what
// the mesh did. A watch provides the pods.
import { addRequests, noRequests, type RequestCounts } from '../../canary/analysis/request-counts.ts'
import { createCounterMemory } from '../../canary/metrics/counter-memory.ts'
import { podId } from '../../canary/metrics/counter-reader.ts'
import { createPodSampler } from '../../canary/metrics/pod-sampling.ts'
import { sidecarReader } from '../../canary/metrics/sidecars.ts'
import type { Cluster } from '../../cluster/client.ts'
import { owns } from '../../cluster/labels.ts'
import { systemNamespace, type Kind, type Pod, type Workload } from '../../cluster/objects.ts'
import { isReady } from '../../cluster/pods.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { hasRunningSidecar, sidecarRestarts } from '../../mesh/sidecar.ts'
import { parseCounters, type Reading } from '../../metrics/counters.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { parseClusters } from '../../verify/proxy-counters.ts'
import { chaosTarget } from '../faults/chaos-mesh.ts'
import { targetOf } from '../faults/fault-plan.ts'
import type { MeshCounts } from '../state/mesh-counts.ts'
import type { FaultSigns } from '../state/presence.ts'
import { countMeshWork } from './mesh-work.ts'
import { countFaultedCalls, countRefusals, countUsers, parseDenials } from './users.ts'

/**
 * `unready`: of the target's pods. `unread`: pods that may have called the service, and whose counters could not be read.
 * Their next reading has what is missing here.
 */
export type Sample = { users: RequestCounts; mesh: MeshCounts; signs: FaultSigns; unready: number; unread: number }

/**
 * `services`: all that the fault concerns, between whose pods the mesh may retry. `workload`: whose pods the fault
 * concerns, if it is one of pods.
 */
export type SampledExperiment = {
  namespace: string
  experiment: ExperimentConfig
  services: string[]
  workload: Workload | undefined
}

export type Sampler = { sample: () => Promise<Sample> }

/** @throws Error if the counters cannot be read at all. */
export async function createSampler(
  cluster: Cluster,
  watches: ObjectWatch<Pod>[],
  { namespace, experiment, services: affected, workload }: SampledExperiment,
  note: (line: string) => void,
): Promise<Sampler> {
  const { metrics: names, service, inject, maxPods } = experiment
  const target = targetOf(experiment)
  const counting = {
    names,
    host: hostOf(service, namespace),
    refusals: inject.partition !== undefined,
    namespaces: [namespace, ...(experiment.clients ?? []), ...(experiment.load ? [systemNamespace] : [])],
  }
  const services = affected.map((each) => ({ service: each, host: hostOf(each, namespace) }))
  const pods = () => watches.flatMap((watch) => watch.current())
  const running = () => pods().filter(hasRunningSidecar)
  const ofChaos = chaosTarget(experiment, namespace)
  const isTarget = (pod: Pod) =>
    workload ? pod.metadata.namespace === namespace && owns(workload, pod) : (ofChaos?.(pod) ?? false)
  const countUnready = createReadiness(cluster, namespace, workload, () => pods().filter(isTarget))
  const chooser = createPodSampler(maxPods, () => 'client', note)
  const memory = createCounterMemory()
  const hasCalled = (reading: Reading, host: string) => countUsers(reading, { ...counting, host }).requests > 0
  const unreadIn = createRollCall((reading) => services.some(({ host }) => hasCalled(reading, host)))
  const read = sidecarReader(cluster, names, {
    path: statsPath(names.requests),
    parse: (text) => new Map([...parseCounters(text, names), ...parseClusters(text), ...parseDenials(text)]),
  })

  async function sample(): Promise<Sample> {
    const [all, chosen] = [running(), chooser.choose(running())]
    memory.register(all, chosen)
    const answers = await read(chosen)
    const readings = chosen.flatMap((pod) => {
      const reading = answers.get(podId(pod))
      return reading ? [{ pod, reading, delta: memory.deltaSince(podId(pod), reading, sidecarRestarts(pod)) }] : []
    })
    const counted = readings.map(({ delta }) => countUsers(delta, counting))
    // A sidecar that has never called a service of the experiment is read less often.
    const isIdle = ({ pod, reading }: (typeof readings)[number]) =>
      !isTarget(pod) && services.every(({ host }) => !hasCalled(reading, host))
    chooser.skipIdle(readings.filter(isIdle).map(({ pod }) => pod))
    const signs = readings.map(({ pod, delta }) => {
      if (inject.partition) return isTarget(pod) ? countRefusals(delta, names) : noSigns
      return countFaultedCalls(delta, names, hostOf(target, namespace), inject)
    })
    return {
      users: counted.reduce(addRequests, noRequests),
      mesh: countMeshWork(readings, names, services),
      signs: signs.reduce((a, b) => ({ calls: a.calls + b.calls, faulted: a.faulted + b.faulted }), noSigns),
      unready: await countUnready(),
      unread: unreadIn(chosen, answers),
    }
  }

  // The first reading is the base of all later ones.
  memory.register(running(), [])
  const first = chooser.choose(running())
  const answers = await read(first)
  unreadIn(first, answers)
  for (const [id, reading] of answers) {
    const pod = first.find((each) => podId(each) === id)!
    memory.deltaSince(id, reading, sidecarRestarts(pod))
  }
  return { sample }
}

const noSigns: FaultSigns = { calls: 0, faulted: 0 }

/** Counters at zero must be there too: they show that the sidecar publishes them. */
function statsPath(requests: string): string {
  const counters = 'upstream_rq_(retry|timeout|per_try_timeout|pending_overflow)|ejections_enforced_total|rbac.denied'
  return requests.includes('istio')
    ? `/stats/prometheus?filter=${encodeURIComponent(`istio.request|${counters}`)}`
    : '/stats/prometheus'
}

/** Counts the pods without an answer, unless an earlier answer showed that they do not call the service. */
function createRollCall(isCaller: (reading: Reading) => boolean) {
  const idle = new Set<string>()
  return (asked: Pod[], answers: ReadonlyMap<string, Reading>): number => {
    for (const [id, reading] of answers)
      if (isCaller(reading)) idle.delete(id)
      else idle.add(id)
    return asked.map(podId).filter((id) => !answers.has(id) && !idle.has(id)).length
  }
}

/** Counts pods that are not ready or missing. A workload may be scaled meanwhile. */
function createReadiness(cluster: Cluster, namespace: string, workload: Workload | undefined, pods: () => Pod[]) {
  let wanted = workload ? replicasOf(workload) : readyIn(pods())
  return async (): Promise<number> => {
    if (workload && readyIn(pods()) < wanted) {
      const { kind, metadata } = workload
      const current = await cluster.get<Workload>(kind as Kind, namespace, metadata.name).catch(() => undefined)
      if (current) wanted = replicasOf(current)
    }
    return Math.max(0, wanted - readyIn(pods()))
  }
}

function replicasOf({ spec, status }: Workload): number {
  return spec.replicas ?? status?.desiredNumberScheduled ?? 1
}

function readyIn(pods: Pod[]): number {
  return pods.filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined).length
}
