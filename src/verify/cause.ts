// Why a pod is not right, in one sentence: what a person would find in describe, events and logs.
import type { Cluster } from '../cluster/client.ts'
import type { ContainerStatus, KubeEvent, Pod } from '../cluster/objects.ts'
import { isReady, lastingStatuses, sidecarForm } from '../mesh/sidecar.ts'

/** Reads the pod's events, and the last log lines of the container to blame. */
export async function causeOf(cluster: Cluster, pod: Pod): Promise<string> {
  const { name, namespace } = pod.metadata
  const events = await cluster.list<KubeEvent>('Event', namespace, { fieldSelector: `involvedObject.name=${name}` }).catch(() => [])
  const blamed = culprit(pod)
  const tail = blamed ? await lastWords(cluster, pod, blamed) : ''
  return unscheduled(pod) ?? uninjected(pod) ?? mount(events) ?? (blamed ? failed(blamed, tail, events) : unready(pod, events))
}

function unscheduled({ status }: Pod): string | undefined {
  const condition = status?.conditions?.find(({ type, status: value }) => type === 'PodScheduled' && value === 'False')
  return condition && `no node takes the pod: ${condition.message ?? condition.reason ?? 'unschedulable'}; free room on a node or lower the requests`
}

function uninjected(pod: Pod): string | undefined {
  if (sidecarForm(pod) !== 'none') return undefined
  return 'the pod has no sidecar: it was created while the namespace did not ask for one, or the injector left it out; add its workload to `workloads`, or opt it out with the label sidecar.istio.io/inject: "false"'
}

function mount(events: KubeEvent[]): string | undefined {
  const event = events.findLast(({ reason }) => reason === 'FailedMount')
  if (!event) return undefined
  const root = event.message?.includes('istio-ca-root-cert')
  return `a volume cannot be mounted: ${event.message ?? ''}${root ? '; istiod writes that ConfigMap into each namespace, so check that istiod runs' : ''}`
}

/** The first container that is neither ready nor done, else the first that crashed of late. */
function culprit(pod: Pod): ContainerStatus | undefined {
  const lasting = new Set(lastingStatuses(pod))
  const all = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  return all.find((status) => (lasting.has(status) ? !status.ready : !status.ready && status.state?.terminated?.exitCode !== 0)) ?? all.find(crashed)
}

/** Ended with an error and started again within the last minutes: whatever it looks like now, that is what is wrong. */
function crashed({ lastState }: ContainerStatus): boolean {
  const { exitCode, finishedAt } = lastState?.terminated ?? {}
  return exitCode !== undefined && exitCode !== 0 && Date.now() - Date.parse(finishedAt ?? '') < 600_000
}

async function lastWords(cluster: Cluster, { metadata }: Pod, status: ContainerStatus): Promise<string> {
  const { name, state, restartCount } = status
  const previous = restartCount > 0 && (state?.waiting !== undefined || crashed(status))
  const log = await cluster.log(metadata.namespace ?? '', metadata.name, name, 20, previous).catch(() => '')
  return log.trim()
}

function failed(status: ContainerStatus, log: string, events: KubeEvent[]): string {
  const { name, image, state, lastState, restartCount } = status
  const waiting = state?.waiting
  const ended = state?.terminated ?? lastState?.terminated
  if (waiting?.reason && /^(ErrImage|ImagePull|InvalidImageName|ErrImageNeverPull)/.test(waiting.reason))
    return `container ${name}: the image ${image ?? ''} cannot be pulled (${waiting.reason}${waiting.message ? `: ${waiting.message}` : ''}); check its name and the pull secret`
  if (waiting?.reason?.startsWith('CreateContainer')) return `container ${name} cannot be created: ${waiting.message ?? waiting.reason}`
  if (name === 'istio-init' && ended) return `istio-init could not set up the pod's traffic rules (exit code ${ended.exitCode}): ${lastLine(log)}; it needs the capabilities NET_ADMIN and NET_RAW, or the Istio CNI plugin`
  if (name === 'istio-proxy' && !ended) return `the sidecar is not ready: ${proxyReason(log)}`
  if (ended && (state?.terminated ?? (restartCount > 0 && waiting ? waiting : crashed(status))))
    return `container ${name} ended with exit code ${ended.exitCode}${ended.reason ? ` (${ended.reason})` : ''}, ${restartCount} restarts: ${lastLine(log) || 'it logged nothing'}`
  return `container ${name} is not ready: ${probe(events, name) ?? waiting?.reason ?? 'its readiness probe does not pass'}`
}

function proxyReason(log: string): string {
  const lines = log.split('\n')
  const told = lines.findLast((line) => /was rejected|config not received|too many open files|connection error|failed to (sign|fetch)|Internal:Error/i.test(line))
  if (told?.includes('rejected')) return `Envoy rejected its configuration: ${told.trim()}`
  if (told?.includes('not received')) return `it got no configuration from istiod; check that istiod runs and that the pod reaches it: ${told.trim()}`
  return told?.trim() || lastLine(log) || 'it logged nothing'
}

function probe(events: KubeEvent[], container: string): string | undefined {
  const event = events.findLast(({ reason, message }) => reason === 'Unhealthy' && (message?.includes(container) ?? true))
  return (event ?? events.findLast(({ reason }) => reason === 'Unhealthy'))?.message
}

function unready(pod: Pod, events: KubeEvent[]): string {
  if (isReady(pod)) return 'the pod is ready'
  const event = events.findLast(({ type }) => type === 'Warning')
  return event ? `${event.reason ?? 'warning'}: ${event.message ?? ''}` : `the pod is ${pod.status?.phase ?? 'unknown'}: its containers have not started yet`
}

function lastLine(log: string): string {
  return log.split('\n').findLast((line) => line.trim() !== '')?.trim() ?? ''
}

function time({ lastTimestamp, eventTime }: KubeEvent): number {
  return Date.parse(lastTimestamp ?? eventTime ?? '') || 0
}

/** Why a workload has no pods: what its ReplicaSet, or it itself, was told when it tried to create one. */
export async function creationFailure(cluster: Cluster, namespace: string, workload: string): Promise<string | undefined> {
  const events = await cluster.list<KubeEvent>('Event', namespace, { fieldSelector: 'reason=FailedCreate' })
  const ofIt = ({ involvedObject: { kind, name } }: KubeEvent) => (kind === 'ReplicaSet' ? name.replace(/-[a-z0-9]+$/, '') : name) === workload
  const event = events.filter(ofIt).sort((a, b) => time(a) - time(b)).at(-1)
  if (!event) return undefined
  const webhook = event.message?.includes('failed calling webhook')
  return `no pod can be created: ${event.message ?? ''}${webhook ? '; the sidecar injector does not answer, so check that istiod runs' : ''}`
}
