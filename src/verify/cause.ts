// Why a pod is not right, in one sentence: what a person would find in describe, events and logs.
import type { Cluster } from '../cluster/client.ts'
import type { ContainerStatus, KubeEvent, Pod } from '../cluster/objects.ts'
import { expectsSidecar, isReady, lastingStatuses, sidecarForm } from '../mesh/sidecar.ts'
import { eventsOf } from './events.ts'
import { logLines, messageOfLine } from './log-lines.ts'
import { lastLine, outOfFiles, proxyReason, whyInvalid, whyIptables } from './proxy-log.ts'

/** Reads the pod's events, and where they do not tell, the last log lines of the container to blame. */
export async function causeOf(cluster: Cluster, pod: Pod): Promise<string> {
  const events = await eventsOf(cluster, pod)
  const blamed = culprit(pod)
  const known = unscheduled(pod) ?? uninjected(pod) ?? notStarted(pod, blamed, events)
  if (known !== undefined) return known
  if (!blamed) return unready(pod, events)
  return notCreated(blamed) ?? failed(cluster, pod, blamed, events)
}

function unscheduled({ status }: Pod): string | undefined {
  const condition = status?.conditions?.find(({ type, status: value }) => type === 'PodScheduled' && value === 'False')
  if (condition?.reason === 'SchedulingGated')
    return 'the pod is held back by its scheduling gates; whoever set them must take them away'
  const message =
    condition &&
    (condition.message ?? condition.reason ?? 'unschedulable').replace(/\.? preemption: .*/s, '').replace(/\.$/, '')
  return message && `no node takes the pod: ${message}${placing(message)}`
}

/** The scheduler gives one reason for each group of nodes, and each has its own remedy. */
function placing(message: string): string {
  const remedies: [RegExp, string][] = [
    [/Insufficient|Too many pods/, 'free room on a node or lower the requests'],
    [/taint/, 'see why the node has its taint (one that is not ready has one), or let the pod tolerate it'],
    [/affinity|selector/, "correct the pod's nodeSelector or affinity, or label a node"],
    [/persistentvolumeclaim|volume/i, "look at the pod's PersistentVolumeClaims"],
  ]
  const fitting = remedies.filter(([of]) => of.test(message)).map(([, remedy]) => remedy)
  return fitting.length === 0 ? '' : `; ${fitting.join('; or ')}`
}

function uninjected(pod: Pod): string | undefined {
  if (sidecarForm(pod) !== 'none' || !expectsSidecar(pod)) return undefined
  return 'the pod has no sidecar: it was created while the namespace did not ask for one, or the injector left it out; add its workload to `workloads`, or opt it out with the label sidecar.istio.io/inject: "false"'
}

/** What keeps a container from being started at all. Once it was started, such events are history. */
function notStarted(pod: Pod, blamed: ContainerStatus | undefined, events: KubeEvent[]): string | undefined {
  // With nobody to blame: a kubelet in trouble can send an event before it first reports on the pod's containers.
  const waits = blamed
    ? /^(PodInitializing|ContainerCreating)$/.test(blamed.state?.waiting?.reason ?? '')
    : lastingStatuses(pod).length === 0
  if (!waits) return undefined
  const { reason, message = '' } =
    events.findLast(({ reason = '' }) =>
      /^(FailedMount|FailedCreatePodSandBox|NetworkNotReady|Pull(ing|ed))$/.test(reason),
    ) ?? {}
  if (reason === 'FailedMount')
    return `a volume cannot be mounted: ${message}${message.includes('istio-ca-root-cert') ? '; istiod writes that ConfigMap into each namespace, so check that istiod runs' : ''}`
  if (reason === 'FailedCreatePodSandBox' || reason === 'NetworkNotReady')
    return `the pod's network cannot be set up: ${message.replace(/^Failed to create pod sandbox: (rpc error: code = \w+ desc = )?/, '')}; ${plugging(message)}`
  return reason === 'Pulling'
    ? `an image is still on its way: ${message}; wait longer, or check that the node reaches the registry`
    : undefined
}

function plugging(message: string): string {
  if (message.includes('failed to find plugin'))
    return 'install that plugin on the node, or take it out of the CNI configuration there (the Istio CNI plugin may leave its entry behind)'
  if (message.includes('not initialized'))
    return 'the node has no CNI configuration, so check that its network plugin runs'
  return "look at the node's container runtime and CNI plugins"
}

/** The first container that is not as it should be, in the order in which they start; else one that has just crashed. */
function culprit(pod: Pod): ContainerStatus | undefined {
  const lasting = new Set(lastingStatuses(pod))
  const apps = pod.status?.containerStatuses ?? []
  const proxyFirst = [
    ...apps.filter(({ name }) => name === 'istio-proxy'),
    ...apps.filter(({ name }) => name !== 'istio-proxy'),
  ]
  const all = [...(pod.status?.initContainerStatuses ?? []), ...proxyFirst]
  return (
    all.find((status) =>
      lasting.has(status) ? !status.ready : !status.ready && status.state?.terminated?.exitCode !== 0,
    ) ?? all.find(crashed)
  )
}

/** Ended with an error and started again within the last minutes: whatever it looks like now, that is what is wrong. */
function crashed({ ready, lastState }: ContainerStatus): boolean {
  const { exitCode, finishedAt } = lastState?.terminated ?? {}
  // One that is not ready should not have ended at all: pilot-agent exits with 0 when its Envoy was aborted.
  return exitCode !== undefined && (exitCode !== 0 || !ready) && Date.now() - Date.parse(finishedAt ?? '') < 600_000
}

function notCreated({ name, image, state }: ContainerStatus): string | undefined {
  const { reason = '', message } = state?.waiting ?? {}
  if (/^(ErrImage|ImagePull|InvalidImageName)/.test(reason))
    return `container ${name}: the image ${image ?? ''} cannot be pulled (${reason}${message ? `: ${message}` : ''}); check its name and the pull secret`
  return reason.startsWith('CreateContainer') ? `container ${name} cannot be created: ${message ?? reason}` : undefined
}

/** One that was started: it ended, or runs and is not as it should be. */
async function failed(cluster: Cluster, pod: Pod, status: ContainerStatus, events: KubeEvent[]): Promise<string> {
  const { name, state, lastState, restartCount } = status
  const log = await lastWords(cluster, pod, status)
  const ended =
    state?.terminated ?? (crashed(status) || (state?.waiting && restartCount > 0) ? lastState?.terminated : undefined)
  if (ended) return crash(pod, status, ended, log)
  if (name === 'istio-proxy' && state?.running) return `the sidecar is not ready: ${proxyReason(log)}`
  if (isInit(pod, name) && state?.running)
    return `init container ${name} has not ended, and the application starts only after it: ${lastLine(log) || 'it logged nothing'}`
  const files = outOfFiles(log)
  return `container ${name} is not ready: ${(await probe(cluster, pod, name, events)) ?? state?.waiting?.reason ?? 'its readiness probe does not pass'}${files === undefined ? '' : `; its log says: ${files}`}`
}

function isInit({ spec }: Pod, name: string): boolean {
  return spec.initContainers?.some((each) => each.name === name && each.restartPolicy !== 'Always') ?? false
}

/** Of a sidecar a long stretch: it repeats that it is not ready, and said why once. */
async function lastWords(cluster: Cluster, { metadata }: Pod, status: ContainerStatus): Promise<string> {
  const { name, state, restartCount } = status
  const read = async (previous: boolean) => {
    const log = await cluster
      .log(metadata.namespace ?? '', metadata.name, name, name === 'istio-proxy' ? 1_000 : 100, previous)
      .catch(() => '')
    // The kubelet's way to say that the container is gone; it comes with status 200.
    return /^(unable to retrieve container logs|failed to try resolving symlinks)/.test(log) ? '' : log.trim()
  }
  const previous =
    restartCount > 0 && (state?.waiting !== undefined || (state?.terminated === undefined && crashed(status)))
  const log = await read(previous)
  // Of a container that waits to be started again, the kubelet keeps its last end's log under either name.
  return log === '' && previous ? read(false) : log
}

type Ended = { exitCode?: number; reason?: string }

function crash(pod: Pod, { name, restartCount }: ContainerStatus, { exitCode, reason }: Ended, log: string): string {
  if (name === 'istio-validation')
    return `the pod's traffic rules are not in place (istio-validation, exit code ${exitCode}): ${whyInvalid(log)}; the pod was started before the Istio CNI plugin was ready on its node: delete the pod so that it is created anew`
  if (name === 'istio-init')
    return `istio-init could not set up the pod's traffic rules (exit code ${exitCode}): ${whyIptables(log)}; it needs the capabilities NET_ADMIN and NET_RAW, or the Istio CNI plugin`
  const said =
    reason === 'OOMKilled'
      ? memory(pod, name)
      : name === 'istio-proxy'
        ? proxyReason(log)
        : (outOfFiles(log) ?? (lastLine(log) || 'it logged nothing'))
  return `container ${name} ended with exit code ${exitCode}${reason ? ` (${reason})` : ''}, ${restartCount} restart${restartCount === 1 ? '' : 's'}: ${said}`
}

/** Of such an end the log knows nothing. */
function memory({ spec }: Pod, name: string): string {
  const limit = [...spec.containers, ...(spec.initContainers ?? [])].find((each) => each.name === name)?.resources
    ?.limits?.['memory']
  return `it used more memory than its limit${limit === undefined ? '' : ` of ${limit}`}: raise the limit, or find the leak`
}

async function probe(cluster: Cluster, pod: Pod, container: string, events: KubeEvent[]): Promise<string | undefined> {
  const unhealthy = events.filter(({ reason }) => reason === 'Unhealthy')
  const named = unhealthy.filter(({ involvedObject: { fieldPath } }) => fieldPath?.includes(`{${container}}`))
  const message = (
    named.length > 0 ? named : unhealthy.filter(({ involvedObject }) => involvedObject.fieldPath === undefined)
  ).at(-1)?.message
  if (message === undefined) return undefined
  const hidden = message.includes('statuscode: 500') ? await probeLog(cluster, pod) : ''
  return `${message.trim().replace(/:$/, ' (the command says nothing)')}${hidden ? ` (${hidden})` : ''}`
}

/** The sidecar asks the application in the kubelet's place (port 15020) and hides the answer behind a 500: its log has it. */
async function probeLog(cluster: Cluster, pod: Pod): Promise<string> {
  if (sidecarForm(pod) === 'none') return ''
  const log = await cluster.log(pod.metadata.namespace ?? '', pod.metadata.name, 'istio-proxy', 100).catch(() => '')
  const line = logLines(log).findLast((each) => each.includes('Request to probe app failed'))
  return line === undefined
    ? ''
    : messageOfLine(line)
        .replace(/^probes /, '')
        .replace(/, original URL path.*$/s, '')
}

function unready(pod: Pod, events: KubeEvent[]): string {
  if (isReady(pod)) return 'the pod is ready'
  const { reason, message = '' } = pod.status?.conditions?.find(({ type }) => type === 'Ready') ?? {}
  if (reason === 'ReadinessGatesNotReady')
    return `its containers are ready, a readiness gate of the pod is not: ${message}`
  const event = events.findLast(({ type }) => type === 'Warning')
  return event
    ? `${event.reason ?? 'warning'}: ${event.message ?? ''}`
    : `the pod is ${pod.status?.phase ?? 'unknown'}: its containers have not started yet`
}
