// Drops the parts of a pod that no code reads, as soon as it arrives: a run may keep thousands of pods. What replicas have
// in common is kept once.
import { createInterner } from '../runtime/interning.ts'
import { withoutUndefined } from '../runtime/without-undefined.ts'
import type { Container, ContainerStatus, Kind, KubeObject, Pod } from './objects.ts'

/** The object without those parts; an object of another kind as it is. */
export function neededFields<T extends KubeObject>(kind: Kind, object: T): T {
  return kind === 'Pod' && 'spec' in object ? (neededOfPod(object as KubeObject as Pod) as KubeObject as T) : object
}

/** Everything else would stay in memory for the whole run. */
function neededOfPod({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  const { managedFields: _, labels, annotations, ownerReferences, ...own } = metadata
  const { containers, initContainers, hostNetwork, nodeName, overhead } = spec
  return {
    apiVersion,
    kind,
    metadata: {
      ...own,
      ...withoutUndefined({
        labels: labels && shared(labels),
        annotations: annotations && shared(annotations),
        ownerReferences: ownerReferences && shared(ownerReferences),
      }),
    },
    spec: withoutUndefined({
      containers: containers.map((each) => shared(neededOfContainer(each))),
      initContainers: initContainers?.map((each) => shared(neededOfContainer(each))),
      hostNetwork,
      nodeName,
      overhead,
    }),
    ...(status ? { status: neededOfStatus(status) } : {}),
  }
}

function neededOfContainer(container: Container): Container {
  const { name, command, args, startupProbe, readinessProbe, livenessProbe, image, restartPolicy, ports, resources } =
    container
  // Values from other places are not in the pod.
  const env = container.env?.filter(({ value }) => value !== undefined)
  const probes = { startupProbe, readinessProbe, livenessProbe }
  return withoutUndefined({ name, command, args, env, ...probes, image, restartPolicy, ports, resources })
}

function neededOfStatus(status: NonNullable<Pod['status']>): NonNullable<Pod['status']> {
  const { phase, podIP, startTime, reason, message, conditions, containerStatuses, initContainerStatuses } = status
  return withoutUndefined({
    phase,
    podIP,
    startTime,
    reason,
    message,
    conditions,
    containerStatuses: containerStatuses?.map(neededOfContainerStatus),
    initContainerStatuses: initContainerStatuses?.map(neededOfContainerStatus),
  })
}

function neededOfContainerStatus(status: ContainerStatus): ContainerStatus {
  const { name, ready, started, restartCount, image, state, lastState } = status
  return withoutUndefined({ name, ready, started, restartCount, image, state, lastState })
}

const intern = createInterner<object>(5_000)

/** An equal value that a pod before had, or this one. Nobody may change it. */
function shared<T extends object>(value: T): T {
  return intern(JSON.stringify(value), () => value) as T
}
