// The services that a fault concerns: the one whose users are watched, the one whose calls get it, and every other one
// that selects a pod that it may kill, cut off or slow down. Only reads.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod, Service, Workload } from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { chaosSelectors } from './chaos-mesh.ts'
import { targetOf, targetWorkload } from './fault-plan.ts'

type Labels = Record<string, string>

/** Their names, each of them once. The first is the one whose calls get the fault. */
export async function affectedServices(
  cluster: Cluster,
  namespace: string,
  experiment: ExperimentConfig,
): Promise<[string, ...string[]]> {
  const target = targetOf(experiment)
  const labels = await affectedPods(cluster, namespace, experiment)
  const services = labels.length > 0 ? await cluster.list<Service>('Service', namespace) : []
  // A Service with an empty selector selects nothing.
  const selects = ({ spec: { selector = {} } }: Service) =>
    Object.keys(selector).length > 0 && labels.some((pod) => matches(selector, pod))
  const selecting = services.filter(selects)
  const others = new Set([experiment.service, ...selecting.map(({ metadata }) => metadata.name).sort()])
  others.delete(target)
  return [target, ...others]
}

/** The labels of the pods. */
async function affectedPods(cluster: Cluster, namespace: string, experiment: ExperimentConfig): Promise<Labels[]> {
  const of = targetWorkload(experiment)
  if (of) {
    const workload = await cluster.get<Workload>(of.kind, namespace, of.name)
    return workload ? [{ ...workload.spec.template.metadata?.labels, ...workload.spec.selector.matchLabels }] : []
  }
  const selectors = chaosSelectors(experiment, namespace)
  const pods = selectors.length > 0 ? await cluster.list<Pod>('Pod', namespace) : []
  const labels = pods.map(({ metadata }) => metadata.labels ?? {})
  return labels.filter((each) => selectors.some((selector) => matches(selector, each)))
}
