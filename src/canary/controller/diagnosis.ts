// Collects what a person would look up after a canary failed: the last log lines of its pods, and warnings about them.
import type { Cluster } from '../../cluster/client.ts'
import type { KubeEvent, Pod } from '../../cluster/objects.ts'
import { isReady, lastingStatuses } from '../../cluster/pods.ts'
import { causeOf } from '../../verify/cause.ts'

/** `cause`: why the pod is not ready, or restarted. */
export type Diagnosis = { pod: string; container: string; cause?: string; log: string[]; events: string[] }

const mostPods = 2

/** Covers at most two pods, those with the most restarts first, and leaves out what cannot be read. */
export async function diagnose(cluster: Cluster, namespace: string, pods: Pod[]): Promise<Diagnosis[]> {
  const worstFirst = [...pods].sort((a, b) => restartsOf(b) - restartsOf(a))
  return Promise.all(worstFirst.slice(0, mostPods).map((pod) => diagnosePod(cluster, namespace, pod)))
}

async function diagnosePod(cluster: Cluster, namespace: string, pod: Pod): Promise<Diagnosis> {
  const { name } = pod.metadata
  const container = pod.spec.containers.find((each) => each.name !== 'istio-proxy')?.name ?? ''
  const isUnwell = !isReady(pod) || restartsOf(pod) > 0
  const [cause, log, events] = await Promise.all([
    isUnwell ? causeOf(cluster, pod).catch(() => undefined) : undefined,
    cluster.log(namespace, name, container, 10).catch(() => ''),
    cluster
      .list<KubeEvent>('Event', namespace, { fieldSelector: `involvedObject.name=${name},type=Warning` })
      .catch(() => []),
  ])
  const lines = log.split('\n').map((line) => line.trimEnd())
  return {
    pod: name,
    container,
    ...(cause === undefined ? {} : { cause }),
    log: lines.filter(Boolean),
    events: events.slice(-5).map(({ reason, message }) => `${reason ?? ''}: ${message ?? ''}`),
  }
}

function restartsOf(pod: Pod): number {
  return lastingStatuses(pod).reduce((sum, { restartCount }) => sum + restartCount, 0)
}
