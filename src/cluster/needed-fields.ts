// Drops the parts of a pod that no code reads, as soon as it arrives: a run may keep thousands of pods. What replicas have
// in common is kept once.
import type { Container, ContainerStatus, Kind, KubeObject, Pod } from './objects.ts'

/** The object without those parts; an object of another kind as it is. */
export function neededFields<T extends KubeObject>(kind: Kind, object: T): T {
  return kind === 'Pod' && 'spec' in object ? (neededOfPod(object as KubeObject as Pod) as KubeObject as T) : object
}

/** Only the fields that the types name: everything else would stay in memory for the whole run. */
function neededOfPod({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  const { managedFields: _, labels, annotations, ownerReferences, ...own } = metadata
  const { containers, initContainers, hostNetwork, nodeName, overhead } = spec
  return {
    apiVersion,
    kind,
    metadata: {
      ...own,
      ...given({
        labels: labels && shared(labels),
        annotations: annotations && shared(annotations),
        ownerReferences: ownerReferences && shared(ownerReferences),
      }),
    },
    spec: given({
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
  return given({ name, command, args, env, ...probes, image, restartPolicy, ports, resources })
}

function neededOfStatus(status: NonNullable<Pod['status']>): NonNullable<Pod['status']> {
  const { phase, podIP, startTime, reason, message, conditions, containerStatuses, initContainerStatuses } = status
  return given({
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
  return given({ name, ready, started, restartCount, image, state, lastState })
}

const known = new Map<string, object>()
/** Parts of pods that have gone stay until there are so many; then those that are still used come again. */
const maxKnown = 5_000

/** An equal value that a pod before had, or this one. Nobody may change it. */
function shared<T extends object>(value: T): T {
  const key = JSON.stringify(value)
  const before = known.get(key)
  if (before) return before as T
  if (known.size >= maxKnown) known.clear()
  known.set(key, value)
  return value
}

type Given<T> = { [Key in keyof T]: Exclude<T[Key], undefined> }

/** Without the keys that have no value. */
function given<T extends object>(object: T): Given<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Given<T>
}
