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
import { parseCounters, type Reading } from '../../envoy/counters.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { parseClusters } from '../../verify/proxy-counters.ts'
import { chaosTarget } from '../faults/chaos-mesh.ts'
import { targetOf } from '../faults/fault-plan.ts'
import type { MeshCounts } from '../state/mesh-counts.ts'
import { addSigns, noSigns, type FaultSigns } from '../state/coverage.ts'
import { countMeshWork } from './mesh-work.ts'
import { countFaultedCalls, countRefusals, countUsers, parseDenials } from './users.ts'

/**
 * `podsNotReady`: of the target. `callersNotRead`: pods that may have called the service, and whose counters were not read.
 * Their next reading has what is missing here; `late` is what came in that way with this sample. `isBlind`: no counter could
 * be read.
 */
export type Sample = {
  users: RequestCounts
  mesh: MeshCounts
  late: { users: RequestCounts; mesh: MeshCounts }
  signs: FaultSigns
  podsNotReady: number
  callersNotRead: number
  isBlind: boolean
}

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

/** `isLast`: read all pods, also those that are read less often. */
export type Sampler = { sample: (isLast: boolean) => Promise<Sample> }

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
  const countNotReady = createReadiness(cluster, namespace, workload, () => pods().filter(isTarget))
  const chooser = createPodSampler(maxPods, () => 'client', note)
  const memory = createCounterMemory()
  const hasCalled = (reading: Reading, host: string) => countUsers(reading, { ...counting, host }).requests > 0
  const asked = new Set<string>()
  let notRead = new Set<string>()
  const read = sidecarReader(cluster, names, {
    path: statsPath(names.requests),
    parse: (text) => new Map([...parseCounters(text, names), ...parseClusters(text), ...parseDenials(text)]),
  })

  async function sample(isLast: boolean): Promise<Sample> {
    if (isLast) chooser.wakeAll()
    const all = running()
    const chosen = chooser.choose(all)
    memory.register(all, chosen, pods())
    const answers = await read(chosen)
    const readings = chosen.flatMap((pod) => {
      const reading = answers.get(podId(pod))
      return reading ? [{ pod, reading, delta: memory.deltaSince(podId(pod), reading, sidecarRestarts(pod)) }] : []
    })
    const countCalls = (of: typeof readings) => ({
      users: of.map(({ delta }) => countUsers(delta, counting)).reduce(addRequests, noRequests),
      mesh: countMeshWork(of, names, services),
    })
    const late = readings.filter(({ pod }) => notRead.has(podId(pod)))
    chosen.forEach((pod) => asked.add(podId(pod)))
    notRead = new Set(all.map(podId).filter((id) => asked.has(id) && !answers.has(id)))
    // A sidecar that has never called a service of the experiment is read less often.
    const isIdle = ({ pod, reading }: (typeof readings)[number]) =>
      !isTarget(pod) && services.every(({ host }) => !hasCalled(reading, host))
    chooser.skipIdle(readings.filter(isIdle).map(({ pod }) => pod))
    const signs = readings.map(({ pod, delta }) => {
      if (inject.partition) return isTarget(pod) ? countRefusals(delta, names) : noSigns
      return countFaultedCalls(delta, names, hostOf(target, namespace), inject)
    })
    return {
      ...countCalls(readings),
      late: countCalls(late),
      signs: signs.reduce(addSigns, noSigns),
      podsNotReady: await countNotReady(),
      callersNotRead: notRead.size,
      isBlind: chosen.length > 0 && readings.length === 0,
    }
  }

  // The first reading is the base of all later ones.
  memory.register(running(), [], pods())
  const first = chooser.choose(running())
  const answers = await read(first)
  for (const pod of first) {
    const [id, reading] = [podId(pod), answers.get(podId(pod))]
    asked.add(id)
    if (reading) memory.deltaSince(id, reading, sidecarRestarts(pod))
    else notRead.add(id)
  }
  return { sample }
}

/** Counters at zero must be there too: they show that the sidecar publishes them. */
function statsPath(requests: string): string {
  const counters = 'upstream_rq_(retry|timeout|per_try_timeout|pending_overflow)|ejections_enforced_total|rbac.denied'
  return requests.includes('istio')
    ? `/stats/prometheus?filter=${encodeURIComponent(`istio.request|${counters}`)}`
    : '/stats/prometheus'
}

/**
 * Counts pods that are not ready or missing. A workload may be scaled meanwhile. Without one, nobody knows how many pods
 * there should be, and those that are there count.
 */
function createReadiness(cluster: Cluster, namespace: string, workload: Workload | undefined, pods: () => Pod[]) {
  if (!workload) return () => Promise.resolve(pods().filter(hasNotEnded).length - readyIn(pods()))
  let wanted = replicasOf(workload)
  return async (): Promise<number> => {
    const { kind, metadata } = workload
    const current = await cluster.get<Workload>(kind as Kind, namespace, metadata.name).catch(() => undefined)
    if (current) wanted = replicasOf(current)
    return Math.max(0, wanted - readyIn(pods()))
  }
}

function replicasOf({ spec, status }: Workload): number {
  return spec.replicas ?? status?.desiredNumberScheduled ?? 1
}

function hasNotEnded({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed'
}

function readyIn(pods: Pod[]): number {
  return pods.filter((pod) => isReady(pod) && hasNotEnded(pod)).length
}
