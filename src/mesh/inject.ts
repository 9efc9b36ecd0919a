// Sidecars: the namespace asks for them, and the workloads that lack one are restarted, in the order given.
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject, Pod, Workload } from '../cluster/objects.ts'
import type { Workload as Named } from '../config/values.ts'
import { expectsSidecar, hasSidecar } from './sidecar.ts'
import { belongs } from '../cluster/labels.ts'

const order = ['StatefulSet', 'Deployment', 'DaemonSet'] as const

/** A revision label asks as well, unless the plain one says otherwise. */
export function asksForSidecars(namespace: KubeObject | undefined): boolean {
  const labels = namespace?.metadata.labels ?? {}
  return labels['istio-injection'] === 'enabled' || (labels['istio.io/rev'] !== undefined && labels['istio-injection'] === undefined)
}

/** Labels the namespace; answers whether that changed anything. A revision label is respected. */
export async function labelNamespace(cluster: Cluster, namespace: string): Promise<boolean> {
  if (asksForSidecars(await cluster.get<KubeObject>('Namespace', undefined, namespace))) return false
  await cluster.merge('Namespace', undefined, namespace, { metadata: { labels: { 'istio-injection': 'enabled' } } })
  return true
}

/** The workloads to look at: those named, or all of the namespace. */
export async function selectWorkloads(cluster: Cluster, namespace: string, named: readonly Named[] | 'all'): Promise<Workload[]> {
  if (named !== 'all') {
    const found = await Promise.all(named.map(({ kind, name }) => cluster.get<Workload>(kind, namespace, name)))
    return found.filter((workload) => workload !== undefined)
  }
  return (await Promise.all(order.map((kind) => cluster.list<Workload>(kind, namespace)))).flat()
}

/** Those of the workloads with a running pod that should have a sidecar and has none. */
export function lackingSidecar(workloads: Workload[], pods: Pod[]): Workload[] {
  return workloads.filter((workload) => pods.some((pod) => belongs(workload, pod) && expectsSidecar(pod) && !hasSidecar(pod)))
}

export async function restart(cluster: Cluster, { kind, metadata }: Workload): Promise<void> {
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() }
  await cluster.merge(kind as Named['kind'], metadata.namespace, metadata.name, { spec: { template: { metadata: { annotations } } } })
}
