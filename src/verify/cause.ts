// Why a pod is not right, in one sentence: what a person would find in describe, events and logs.
import type { Cluster } from '../cluster/client.ts'
import type { ContainerStatus, KubeEvent, Pod } from '../cluster/objects.ts'
import { expectsSidecar, isReady, lastingStatuses, sidecarForm } from '../mesh/sidecar.ts'
import { logLines, messageOf } from './log.ts'

/** Reads the pod's events, and the last log lines of the container to blame. */
export async function causeOf(cluster: Cluster, pod: Pod): Promise<string> {
  const { name, namespace } = pod.metadata
  const events = await cluster.list<KubeEvent>('Event', namespace, { fieldSelector: `involvedObject.name=${name}` }).catch(() => [])
  const blamed = culprit(pod)
  const known = unscheduled(pod) ?? uninjected(pod) ?? notStarted(blamed, events)
  if (known !== undefined) return known
  return blamed ? failed(pod, blamed, await lastWords(cluster, pod, blamed), events, () => probeLog(cluster, pod)) : unready(pod, events)
}

function unscheduled({ status }: Pod): string | undefined {
  const condition = status?.conditions?.find(({ type, status: value }) => type === 'PodScheduled' && value === 'False')
  if (condition?.reason === 'SchedulingGated') return 'the pod is held back by its scheduling gates; whoever set them must take them away'
  return condition && `no node takes the pod: ${condition.message ?? condition.reason ?? 'unschedulable'}; free room on a node or lower the requests`
}

function uninjected(pod: Pod): string | undefined {
  if (sidecarForm(pod) !== 'none' || !expectsSidecar(pod)) return undefined
  return 'the pod has no sidecar: it was created while the namespace did not ask for one, or the injector left it out; add its workload to `workloads`, or opt it out with the label sidecar.istio.io/inject: "false"'
}

/** What keeps a container from being started at all. Once it was started, such events are history. */
function notStarted(blamed: ContainerStatus | undefined, events: KubeEvent[]): string | undefined {
  const waits = /^(PodInitializing|ContainerCreating)$/.test(blamed?.state?.waiting?.reason ?? '')
  if (!waits) return undefined
  const event = events.findLast(({ reason }) => reason === 'FailedMount' || reason === 'FailedCreatePodSandBox')
  if (event?.reason === 'FailedMount') return mount(event)
  return event && `the pod's network cannot be set up: ${event.message ?? ''}; look at the node's container runtime and CNI plugins`
}

function mount({ message = '' }: KubeEvent): string {
  const root = message.includes('istio-ca-root-cert')
  return `a volume cannot be mounted: ${message}${root ? '; istiod writes that ConfigMap into each namespace, so check that istiod runs' : ''}`
}

/** The first container that is not as it should be, in the order in which they start; else one that has just crashed. */
function culprit(pod: Pod): ContainerStatus | undefined {
  const lasting = new Set(lastingStatuses(pod))
  const apps = pod.status?.containerStatuses ?? []
  const proxyFirst = [...apps.filter(({ name }) => name === 'istio-proxy'), ...apps.filter(({ name }) => name !== 'istio-proxy')]
  const all = [...(pod.status?.initContainerStatuses ?? []), ...proxyFirst]
  return all.find((status) => (lasting.has(status) ? !status.ready : !status.ready && status.state?.terminated?.exitCode !== 0)) ?? all.find(crashed)
}

/** Ended with an error and started again within the last minutes: whatever it looks like now, that is what is wrong. */
function crashed({ lastState }: ContainerStatus): boolean {
  const { exitCode, finishedAt } = lastState?.terminated ?? {}
  return exitCode !== undefined && exitCode !== 0 && Date.now() - Date.parse(finishedAt ?? '') < 600_000
}

/** Of a sidecar a long stretch: it repeats that it is not ready, and said why once. */
async function lastWords(cluster: Cluster, { metadata }: Pod, status: ContainerStatus): Promise<string> {
  const { name, state, restartCount } = status
  const read = async (previous: boolean) => {
    const log = await cluster.log(metadata.namespace ?? '', metadata.name, name, name === 'istio-proxy' ? 1_000 : 20, previous).catch(() => '')
    // The kubelet's way to say that the container is gone; it comes with status 200.
    return log.startsWith('unable to retrieve container logs') ? '' : log.trim()
  }
  const previous = restartCount > 0 && (state?.waiting !== undefined || (state?.terminated === undefined && crashed(status)))
  const log = await read(previous)
  // Of a container that waits to be started again, the kubelet keeps its last end's log under either name.
  return log === '' && previous && state?.waiting ? read(false) : log
}

async function failed(pod: Pod, status: ContainerStatus, log: string, events: KubeEvent[], readProbeLog: () => Promise<string>): Promise<string> {
  const { name, image, state, lastState, restartCount } = status
  const waiting = state?.waiting
  const ended = state?.terminated ?? lastState?.terminated
  if (waiting?.reason && /^(ErrImage|ImagePull|InvalidImageName|ErrImageNeverPull)/.test(waiting.reason))
    return `container ${name}: the image ${image ?? ''} cannot be pulled (${waiting.reason}${waiting.message ? `: ${waiting.message}` : ''}); check its name and the pull secret`
  if (waiting?.reason?.startsWith('CreateContainer')) return `container ${name} cannot be created: ${waiting.message ?? waiting.reason}`
  if (name === 'istio-validation' && ended) return `the pod's traffic rules are not in place (istio-validation, exit code ${ended.exitCode}): ${lastLine(log)}; the pod was started before the Istio CNI plugin was ready on its node: delete the pod so that it is created anew`
  if (name === 'istio-init' && ended) return `istio-init could not set up the pod's traffic rules (exit code ${ended.exitCode}): ${whyIptables(log)}; it needs the capabilities NET_ADMIN and NET_RAW, or the Istio CNI plugin`
  if (name === 'istio-proxy' && !ended) return `the sidecar is not ready: ${proxyReason(log)}`
  if (ended && (state?.terminated ?? (restartCount > 0 && waiting ? waiting : crashed(status)))) return crash(pod, status, ended, log)
  if (isInit(pod, name) && state?.running) return `init container ${name} has not ended, and the application starts only after it: ${lastLine(log) || 'it logged nothing'}`
  return `container ${name} is not ready: ${(await probe(events, name, readProbeLog)) ?? waiting?.reason ?? 'its readiness probe does not pass'}`
}

function isInit({ spec }: Pod, name: string): boolean {
  return spec.initContainers?.some((each) => each.name === name && each.restartPolicy !== 'Always') ?? false
}

type Ended = { exitCode?: number; reason?: string }

function crash({ spec }: Pod, { name, restartCount }: ContainerStatus, { exitCode, reason }: Ended, log: string): string {
  const limit = spec.containers.find((each) => each.name === name)?.resources?.limits?.['memory']
  const memory = reason === 'OOMKilled' ? `; it used more memory than its limit${limit === undefined ? '' : ` of ${limit}`}: raise the limit, or find the leak` : ''
  return `container ${name} ended with exit code ${exitCode}${reason ? ` (${reason})` : ''}, ${restartCount} restarts: ${lastLine(log) || 'it logged nothing'}${memory}`
}

/** istio-init ends with a dump of the rules that it could not set; the complaint of iptables stands before it. */
function whyIptables(log: string): string {
  const told = logLines(log).findLast((line) => /permission denied|operation not permitted|must be root|can't initialize|table does not exist/i.test(line))
  return told === undefined ? lastLine(log) : messageOf(told)
}

function proxyReason(log: string): string {
  const lines = logLines(log)
  const told = lines.findLast((line) => /was rejected|config not received|too many open files|connection error|failed to (sign|fetch|warm)|Internal:Error/i.test(line))
  const rejection = lines.findLast((line) => /config rejected:|v3\.\w+ rejected:/.test(line))
  if (told?.includes('rejected')) return `Envoy rejected its configuration: ${messageOf(rejection ?? told)}; correct the object that names it (most often an EnvoyFilter), or delete it`
  if (told?.includes('not received')) return `it got no configuration from istiod; check that istiod runs and that the pod reaches it: ${messageOf(told)}`
  if (told !== undefined && /certificate|failed to sign/.test(told)) return `it got no certificate from istiod; check that istiod runs and that the pod reaches it: ${messageOf(told)}`
  if (told?.includes('too many open files')) return `${messageOf(told)}; raise fs.inotify.max_user_instances and max_user_watches on the node`
  return messageOf(told ?? lastLine(log)) || 'it logged nothing'
}

/** The sidecar asks the application in the kubelet's place (port 15020) and hides the answer behind a 500: its log has it. */
async function probe(events: KubeEvent[], container: string, readProbeLog: () => Promise<string>): Promise<string | undefined> {
  const unhealthy = events.filter(({ reason }) => reason === 'Unhealthy')
  const named = unhealthy.filter(({ involvedObject: { fieldPath } }) => fieldPath?.includes(`{${container}}`))
  const message = (named.length > 0 ? named : unhealthy.filter(({ involvedObject }) => involvedObject.fieldPath === undefined)).at(-1)?.message
  if (message === undefined) return undefined
  const hidden = message.includes('statuscode: 500') ? await readProbeLog() : ''
  return `${message.trim().replace(/:$/, ' (the command says nothing)')}${hidden ? ` (${hidden})` : ''}`
}

async function probeLog(cluster: Cluster, pod: Pod): Promise<string> {
  if (sidecarForm(pod) === 'none') return ''
  const log = await cluster.log(pod.metadata.namespace ?? '', pod.metadata.name, 'istio-proxy', 100).catch(() => '')
  const line = logLines(log).findLast((each) => each.includes('Request to probe app failed'))
  return line === undefined ? '' : messageOf(line).replace(/^probes /, '').replace(/, original URL path.*$/s, '')
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
  return `no pod can be created: ${event.message ?? ''}${remedy(event.message ?? '')}`
}

function remedy(message: string): string {
  if (message.includes('failed calling webhook')) return '; the sidecar injector does not answer, so check that istiod runs'
  if (message.includes('violates PodSecurity') && message.includes('istio-init'))
    return "; the namespace's pod security level forbids what istio-init needs (NET_ADMIN, NET_RAW): set the label pod-security.kubernetes.io/enforce to privileged, or use the Istio CNI plugin"
  if (message.includes('exceeded quota')) return "; the sidecar's requests count as well: raise the ResourceQuota of the namespace"
  return ''
}
