// What a person would look up once a canary is condemned: its last log lines and the warnings about its pods.
import type { Cluster } from '../../cluster/client.ts'
import type { KubeEvent, Pod } from '../../cluster/objects.ts'
import { isReady } from '../../mesh/sidecar.ts'
import { causeOf } from '../../verify/cause.ts'

/** `cause`: why the pod is not well, or was not a moment ago. */
export type Diagnosis = { pod: string; container: string; cause?: string; log: string[]; events: string[] }

/** Of two pods at most, those that are not well first; what cannot be read is left out. */
export async function diagnose(cluster: Cluster, namespace: string, pods: Pod[]): Promise<Diagnosis[]> {
  const worstFirst = [...pods].sort((a, b) => restarts(b) - restarts(a))
  return Promise.all(
    worstFirst.slice(0, 2).map(async (pod) => {
      const {
        metadata: { name },
        spec,
      } = pod
      const container = spec.containers.find((each) => each.name !== 'istio-proxy')?.name ?? ''
      const unwell = !isReady(pod) || restarts(pod) > 0
      const [cause, log, events] = await Promise.all([
        unwell ? causeOf(cluster, pod).catch(() => undefined) : undefined,
        cluster.log(namespace, name, container, 10).catch(() => ''),
        cluster
          .list<KubeEvent>('Event', namespace, { fieldSelector: `involvedObject.name=${name},type=Warning` })
          .catch(() => []),
      ])
      return {
        pod: name,
        container,
        ...(cause === undefined ? {} : { cause }),
        log: log
          .split('\n')
          .map((line) => line.trimEnd())
          .filter(Boolean),
        events: events.slice(-5).map(({ reason, message }) => `${reason ?? ''}: ${message ?? ''}`),
      }
    }),
  )
}

function restarts({ status }: Pod): number {
  return (status?.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0)
}
