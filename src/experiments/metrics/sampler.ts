// Samples the sidecars of an experiment through the API server: the users, the calls that the fault concerns, and what
// the mesh did. A watch provides the pods.
import { addRequests, noRequests, type RequestCounts } from '../../canary/analysis/request-counts.ts'
import { createCounterMemory } from '../../canary/metrics/counter-memory.ts'
import { podId } from '../../canary/metrics/counter-reader.ts'
import { createPodSampler } from '../../canary/metrics/pod-sampling.ts'
import { sidecarReader } from '../../canary/metrics/sidecars.ts'
import type { Cluster } from '../../cluster/client.ts'
import { belongs } from '../../cluster/labels.ts'
import type { Pod, Workload } from '../../cluster/objects.ts'
import { isReady } from '../../cluster/pods.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { hasRunningSidecar, sidecarRestarts } from '../../mesh/sidecar.ts'
import { parseCounters } from '../../metrics/counters.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { parseClusters } from '../../verify/proxy-counters.ts'
import { chaosTarget } from '../faults/chaos-mesh.ts'
import { targetOf } from '../faults/fault-plan.ts'
import type { MeshCounts } from '../state/mesh-counts.ts'
import type { FaultSigns } from '../state/types.ts'
import { countMeshWork } from './mesh-work.ts'
import { countFaultedCalls, countRefusals, countUsers, parseDenials } from './users.ts'

/** `unready`: of the target's pods. `callers`: how many pods called the service in this sample. */
export type Sample = { users: RequestCounts; mesh: MeshCounts; signs: FaultSigns; unready: number; callers: number }

/** `workload`: whose pods the fault concerns, if it is one of pods. */
export type SampledExperiment = { namespace: string; experiment: ExperimentConfig; workload: Workload | undefined }

export type Sampler = { sample: () => Promise<Sample> }

/** @throws Error if the counters cannot be read at all. */
export async function createSampler(
  cluster: Cluster,
  watches: ObjectWatch<Pod>[],
  { namespace, experiment, workload }: SampledExperiment,
  note: (line: string) => void,
): Promise<Sampler> {
  const { metrics: names, service, inject, maxPods } = experiment
  const target = targetOf(experiment)
  const counting = { names, host: hostOf(service, namespace), refusals: inject.partition !== undefined }
  const services = [...new Set([service, target])].map((each) => ({ service: each, host: hostOf(each, namespace) }))
  const pods = () => watches.flatMap((watch) => watch.current())
  const running = () => pods().filter(hasRunningSidecar)
  const ofChaos = chaosTarget(experiment, namespace)
  const isTarget = (pod: Pod) =>
    workload ? pod.metadata.namespace === namespace && belongs(workload, pod) : (ofChaos?.(pod) ?? false)
  const wanted = workload ? replicasOf(workload) : readyIn(pods().filter(isTarget))
  const chooser = createPodSampler(maxPods, () => 'client', note)
  const memory = createCounterMemory()
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
      !isTarget(pod) && services.every(({ host }) => countUsers(reading, { ...counting, host }).requests === 0)
    chooser.skipIdle(readings.filter(isIdle).map(({ pod }) => pod))
    const signs = readings.map(({ pod, delta }) => {
      if (inject.partition) return isTarget(pod) ? countRefusals(delta, names) : noSigns
      return countFaultedCalls(delta, names, hostOf(target, namespace), inject)
    })
    return {
      users: counted.reduce(addRequests, noRequests),
      mesh: countMeshWork(readings, names, services),
      signs: signs.reduce((a, b) => ({ calls: a.calls + b.calls, faulted: a.faulted + b.faulted }), noSigns),
      unready: Math.max(0, wanted - readyIn(pods().filter(isTarget))),
      callers: counted.filter(({ requests }) => requests > 0).length,
    }
  }

  // The first reading is the base of all later ones.
  memory.register(running(), [])
  const first = chooser.choose(running())
  for (const [id, reading] of await read(first)) {
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

function replicasOf({ spec, status }: Workload): number {
  return spec.replicas ?? status?.desiredNumberScheduled ?? 1
}

function readyIn(pods: Pod[]): number {
  return pods.filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined).length
}
