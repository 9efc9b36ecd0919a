// Whether the canary's pods are healthy, from their status in the API server. Pure.
import type { Pod } from '../../cluster/objects.ts'
import { isReady, lastingStatuses } from '../../cluster/pods.ts'
import { podId } from './counter-reader.ts'

/** The number of restarts of each container; the key is the pod's id and the container's name. */
export type Restarts = ReadonlyMap<string, number>

export function restartsOf(pods: Pod[]): Restarts {
  return new Map(
    pods.flatMap((pod) =>
      lastingStatuses(pod).map(({ name, restartCount }) => [containerId(pod, name), restartCount] as const),
    ),
  )
}

function containerId(pod: Pod, container: string): string {
  return `${podId(pod)}/${container}`
}

export type Health = { ready: boolean; podFailure?: { pod: Pod; text: string } }

/**
 * A container that crashes in a loop, or that restarted since the promotion began, is a fault. A pod that is not
 * ready yet is none. `before`: the restarts when the promotion began.
 */
export function healthOf(pods: Pod[], before: Restarts): Health {
  const running = pods.filter((pod) => !isEnding(pod))
  const podFailure = running.flatMap((pod) => faultsOf(pod, before))[0]
  if (podFailure) return { ready: false, podFailure }
  return { ready: running.length > 0 && running.every(isReady) }
}

function isEnding({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined || status?.phase === 'Failed' || status?.phase === 'Succeeded'
}

function faultsOf(pod: Pod, before: Restarts): { pod: Pod; text: string }[] {
  return lastingStatuses(pod).flatMap(({ name, restartCount, state }) => {
    const container = `container ${name} of ${pod.metadata.name}`
    if (state?.waiting?.reason === 'CrashLoopBackOff') return [{ pod, text: `${container} crashes in a loop` }]
    if (restartCount <= (before.get(containerId(pod, name)) ?? 0)) return []
    return [{ pod, text: `${container} was restarted during the promotion` }]
  })
}
