// The services that a fault concerns: the one whose users are watched, the one whose calls get it, every other one whose
// calls take the same routes or reach the same pods, and those that select a pod which it may kill, cut off or slow down.
// Only reads.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod, Service, VirtualService, Workload } from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { fullHost, routesOf } from '../../policies/routes.ts'
import { chaosSelectors } from './chaos-mesh.ts'
import { targetOf, targetWorkload } from './fault-plan.ts'
import { httpFaultOf, routesToService } from './http-fault.ts'

type Labels = Record<string, string>

/** The names of services. `target`: the one whose calls get the fault. `others`: the rest, each of them once. */
export type AffectedServices = { target: string; others: string[] }

export async function affectedServices(
  cluster: Cluster,
  namespace: string,
  experiment: ExperimentConfig,
): Promise<AffectedServices> {
  const target = targetOf(experiment)
  const services = await cluster.list<Service>('Service', namespace)
  const labels = await affectedPods(cluster, namespace, experiment, services)
  // A Service with an empty selector selects nothing.
  const selects = ({ spec: { selector = {} } }: Service) =>
    Object.keys(selector).length > 0 && labels.some((pod) => matches(selector, pod))
  const selecting = services.filter(selects).map(({ metadata }) => metadata.name)
  const routed = await routedServices(cluster, namespace, experiment)
  const others = new Set([experiment.service, ...[...selecting, ...routed].sort()])
  others.delete(target)
  return { target, others: [...others] }
}

/** The labels of the pods. */
async function affectedPods(
  cluster: Cluster,
  namespace: string,
  experiment: ExperimentConfig,
  services: Service[],
): Promise<Labels[]> {
  const of = targetWorkload(experiment)
  if (of) {
    const workload = await cluster.get<Workload>(of.kind, namespace, of.name)
    return workload ? [{ ...workload.spec.template.metadata?.labels, ...workload.spec.selector.matchLabels }] : []
  }
  const selectors = chaosSelectors(experiment, namespace)
  const pods = selectors.length > 0 ? await cluster.list<Pod>('Pod', namespace) : []
  const labels = pods.map(({ metadata }) => metadata.labels ?? {})
  if (selectors.length > 0) return labels.filter((each) => selectors.some((selector) => matches(selector, each)))
  // Of the pods behind a Service for one version, also the Service for all versions is promoted.
  const behind = services.find(({ metadata }) => metadata.name === targetOf(experiment))?.spec.selector
  return behind ? [behind] : []
}

/** Whose requests take the routes to which a delay or an abort is added: by their host, or as another destination. */
async function routedServices(cluster: Cluster, namespace: string, experiment: ExperimentConfig): Promise<string[]> {
  if (!httpFaultOf(experiment.inject)) return []
  const target = targetOf(experiment)
  const all = await cluster.list<VirtualService>('VirtualService', namespace)
  const hosts = routesToService(all, namespace, target).flatMap((object) => [
    ...(object.spec.hosts ?? []).map((host) => fullHost(host, object.metadata.namespace ?? namespace)),
    ...routesOf(object, namespace)
      .map(({ targets }) => targets.map(({ host }) => host))
      .filter((targets) => targets.includes(hostOf(target, namespace)))
      .flat(),
  ])
  return hosts.flatMap((host) => {
    const [name = ''] = host.split('.')
    return name !== '*' && host === hostOf(name, namespace) ? [name] : []
  })
}
