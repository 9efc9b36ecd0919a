// Whether the canary's pods are well, from what the API server knows of them. Pure.
import type { Pod } from '../../cluster/objects.ts'
import { isReady } from '../../mesh/sidecar.ts'

/** Restarts of each container, by pod and container. */
export type Restarts = ReadonlyMap<string, number>

export function restartsOf(pods: Pod[]): Restarts {
  return new Map(
    pods.flatMap(({ metadata, status }) =>
      (status?.containerStatuses ?? []).map(
        ({ name, restartCount }) => [`${metadata.uid ?? metadata.name}/${name}`, restartCount] as const,
      ),
    ),
  )
}

export type Health = { ready: boolean; fault?: { pod: Pod; text: string } }

/** A pod that crashes in a loop, or that restarted since the promotion began, is a fault; one that is not ready yet is not. */
export function healthOf(pods: Pod[], before: Restarts): Health {
  const living = pods.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined && status?.phase !== 'Failed' && status?.phase !== 'Succeeded',
  )
  const ready = living.length > 0 && living.every(isReady)
  for (const pod of living) {
    for (const { name, restartCount, state } of pod.status?.containerStatuses ?? []) {
      const was = before.get(`${pod.metadata.uid ?? pod.metadata.name}/${name}`) ?? 0
      if (state?.waiting?.reason === 'CrashLoopBackOff')
        return { ready: false, fault: { pod, text: `container ${name} of ${pod.metadata.name} crashes in a loop` } }
      if (restartCount > was)
        return {
          ready: false,
          fault: { pod, text: `container ${name} of ${pod.metadata.name} was restarted during the promotion` },
        }
    }
  }
  return { ready }
}
