// Explains in one sentence why a pod is not ready, from the events and logs that a person would find with `kubectl
// describe` and `kubectl logs`.
import type { Cluster } from '../cluster/client.ts'
import type { ContainerStatus, KubeEvent, Pod } from '../cluster/objects.ts'
import { isReady, lastingStatuses } from '../cluster/pods.ts'
import { expectsSidecar, sidecarForm } from '../mesh/sidecar.ts'
import { plural } from '../runtime/plural.ts'
import { textLines } from '../runtime/text-lines.ts'
import { eventsOf } from './events.ts'
import { logMessage } from './log-lines.ts'
import {
  iptablesFailure,
  lastLine,
  namesProxyFailure,
  proxyReason,
  tooManyOpenFiles,
  validationFailure,
} from './proxy-log.ts'

/** Reads the pod's events and, if they do not explain it, the last log lines of the failing container. */
export async function causeOf(cluster: Cluster, pod: Pod): Promise<string> {
  const events = await eventsOf(cluster, pod)
  const failing = failingContainer(pod)
  const early = unscheduled(pod) ?? uninjected(pod) ?? notStarted(pod, failing, events)
  if (early !== undefined) return early
  if (!failing) return unready(pod, events)
  return notCreated(failing) ?? failed(cluster, pod, failing, events)
}

function unscheduled({ status }: Pod): string | undefined {
  const condition = status?.conditions?.find(({ type, status: value }) => type === 'PodScheduled' && value === 'False')
  if (condition?.reason === 'SchedulingGated')
    return 'the pod waits for its scheduling gates; whoever set them must remove them'
  const message =
    condition &&
    (condition.message ?? condition.reason ?? 'unschedulable').replace(/\.? preemption: .*/s, '').replace(/\.$/, '')
  return message && `no node takes the pod: ${message}${schedulingRemedies(message)}`
}

/** The scheduler reports one reason for each group of nodes, and each reason has its own remedy. */
function schedulingRemedies(message: string): string {
  const remedies: [RegExp, string][] = [
    [/Insufficient|Too many pods/, 'free room on a node or lower the requests'],
    [/taint/, 'check why the node has its taint (a node that is not ready has one), or let the pod tolerate it'],
    [/affinity|selector/, "correct the pod's nodeSelector or affinity, or label a node"],
    [/persistentvolumeclaim|volume/i, "check the pod's PersistentVolumeClaims"],
  ]
  const fitting = remedies.filter(([of]) => of.test(message)).map(([, remedy]) => remedy)
  return fitting.length === 0 ? '' : `; ${fitting.join('; or ')}`
}

function uninjected(pod: Pod): string | undefined {
  if (sidecarForm(pod) !== 'none' || !expectsSidecar(pod)) return undefined
  return (
    'the pod has no sidecar: it was created before the namespace asked for sidecars, or the injector skipped it; ' +
    'add its workload to `workloads`, or opt it out with the label sidecar.istio.io/inject: "false"'
  )
}

/** Explains what prevents a container from starting. Once it has started, such events are history. */
function notStarted(pod: Pod, failing: ContainerStatus | undefined, events: KubeEvent[]): string | undefined {
  // A kubelet can send an event before its first report on the pod's containers.
  const isWaiting = failing
    ? /^(PodInitializing|ContainerCreating)$/.test(failing.state?.waiting?.reason ?? '')
    : lastingStatuses(pod).length === 0
  if (!isWaiting) return undefined
  const { reason, message = '' } =
    events.findLast(({ reason = '' }) =>
      /^(FailedMount|FailedCreatePodSandBox|NetworkNotReady|Pull(ing|ed))$/.test(reason),
    ) ?? {}
  if (reason === 'FailedMount') return `a volume cannot be mounted: ${message}${mountRemedy(message)}`
  if (reason === 'FailedCreatePodSandBox' || reason === 'NetworkNotReady')
    return `the pod's network cannot be set up: ${withoutSandboxPrefix(message)}; ${networkRemedy(message)}`
  return reason === 'Pulling'
    ? `an image is still being pulled: ${message}; wait longer, or check that the node reaches the registry`
    : undefined
}

function mountRemedy(message: string): string {
  if (!message.includes('istio-ca-root-cert')) return ''
  return '; istiod writes that ConfigMap into each namespace, so check that istiod runs'
}

function withoutSandboxPrefix(message: string): string {
  return message.replace(/^Failed to create pod sandbox: (rpc error: code = \w+ desc = )?/, '')
}

function networkRemedy(message: string): string {
  if (message.includes('failed to find plugin'))
    return (
      'install that plugin on the node, or remove it from the CNI configuration there ' +
      '(the Istio CNI plugin may leave its entry behind)'
    )
  if (message.includes('not initialized'))
    return 'the node has no CNI configuration, so check that its network plugin runs'
  return "check the node's container runtime and CNI plugins"
}

/** The first container in start order that is not ready, or one that has just crashed. */
function failingContainer(pod: Pod): ContainerStatus | undefined {
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

/** True if one of its containers has failed and restarted within the last minutes, even if all run now. */
export function hasCrashed(pod: Pod): boolean {
  return lastingStatuses(pod).some(crashed)
}

/** True if the container has failed and restarted within the last minutes, even if it runs now. */
function crashed({ ready, lastState }: ContainerStatus): boolean {
  const { exitCode, finishedAt } = lastState?.terminated ?? {}
  // While it is not ready, exit code 0 is a failure too: pilot-agent exits with 0 after its Envoy was aborted.
  return exitCode !== undefined && (exitCode !== 0 || !ready) && Date.now() - Date.parse(finishedAt ?? '') < 600_000
}

function notCreated({ name, image, state }: ContainerStatus): string | undefined {
  const { reason = '', message } = state?.waiting ?? {}
  if (/^(ErrImage|ImagePull|InvalidImageName)/.test(reason))
    return (
      `container ${name}: the image ${image ?? ''} cannot be pulled (${reason}${message ? `: ${message}` : ''}); ` +
      'check its name and the pull secret'
    )
  return reason.startsWith('CreateContainer') ? `container ${name} cannot be created: ${message ?? reason}` : undefined
}

/** Explains the failure of a container that has started: it has ended, or it runs and is not ready. */
async function failed(cluster: Cluster, pod: Pod, status: ContainerStatus, events: KubeEvent[]): Promise<string> {
  const { name, state, lastState, restartCount } = status
  const log = await logOf(cluster, pod, status)
  const hasRestarted = crashed(status) || (state?.waiting !== undefined && restartCount > 0)
  const exit = state?.terminated ?? (hasRestarted ? lastState?.terminated : undefined)
  if (exit) return exitCause(pod, status, exit, log)
  if (name === 'istio-proxy' && state?.running) return `the sidecar is not ready: ${proxyReason(log)}`
  if (isInit(pod, name) && state?.running)
    return (
      `init container ${name} has not ended, and the application starts only after it: ` +
      (lastLine(log) || 'it logged nothing')
    )
  const reason =
    (await probeFailure(cluster, pod, name, events)) ?? state?.waiting?.reason ?? 'its readiness probe fails'
  const openFiles = tooManyOpenFiles(log)
  return `container ${name} is not ready: ${reason}${openFiles === undefined ? '' : `; its log says: ${openFiles}`}`
}

function isInit({ spec }: Pod, name: string): boolean {
  return spec.initContainers?.some((each) => each.name === name && each.restartPolicy !== 'Always') ?? false
}

/**
 * Reads the end of the log; more for a sidecar, because it repeats that it is not ready, but logs the reason only once.
 */
async function logOf(cluster: Cluster, { metadata }: Pod, status: ContainerStatus): Promise<string> {
  const { name, state, restartCount } = status
  const read = async (previous: boolean) => {
    const log = await cluster
      .log(metadata.namespace ?? '', metadata.name, name, name === 'istio-proxy' ? 1_000 : 100, previous)
      .catch(() => '')
    // The kubelet returns this text with status 200 if the container is gone.
    return /^(unable to retrieve container logs|failed to try resolving symlinks)/.test(log) ? '' : log.trim()
  }
  const previous =
    restartCount > 0 && (state?.waiting !== undefined || (state?.terminated === undefined && crashed(status)))
  const log = await read(previous)
  // While a container waits for its restart, the kubelet may return the previous log as the current one.
  if (log === '') return previous ? read(false) : ''
  if (name !== 'istio-proxy' || state?.terminated === undefined || restartCount === 0 || namesProxyFailure(log))
    return log
  // Envoy may end before it has logged why. The container before this one ended for the same reason.
  const before = await read(true)
  return namesProxyFailure(before) ? before : log
}

type Exit = { exitCode?: number; reason?: string }

function exitCause(pod: Pod, { name, restartCount }: ContainerStatus, { exitCode, reason }: Exit, log: string): string {
  if (name === 'istio-validation')
    return (
      `the pod's traffic rules are missing (istio-validation, exit code ${exitCode}): ${validationFailure(log)}; ` +
      'the pod started before the Istio CNI plugin was ready on its node: delete the pod so that it is created again'
    )
  if (name === 'istio-init')
    return (
      `istio-init could not set up the pod's traffic rules (exit code ${exitCode}): ${iptablesFailure(log)}; ` +
      'it needs the capabilities NET_ADMIN and NET_RAW, or the Istio CNI plugin'
    )
  const cause = reason === 'OOMKilled' ? outOfMemory(pod, name) : loggedCause(name, log)
  const how = `ended with exit code ${exitCode}${reason ? ` (${reason})` : ''}, ${plural(restartCount, 'restart')}`
  return `container ${name} ${how}: ${cause}`
}

function loggedCause(container: string, log: string): string {
  if (container === 'istio-proxy') return proxyReason(log)
  return tooManyOpenFiles(log) ?? (lastLine(log) || 'it logged nothing')
}

/** The kernel kills the container without a log line, so the limit explains it. */
function outOfMemory({ spec }: Pod, name: string): string {
  const container = [...spec.containers, ...(spec.initContainers ?? [])].find((each) => each.name === name)
  const limit = container?.resources?.limits?.['memory']
  const size = limit === undefined ? '' : ` of ${limit}`
  return `it used more memory than its limit${size}: raise the limit, or find the leak`
}

async function probeFailure(
  cluster: Cluster,
  pod: Pod,
  container: string,
  events: KubeEvent[],
): Promise<string | undefined> {
  const unhealthy = events.filter(({ reason }) => reason === 'Unhealthy')
  const named = unhealthy.filter(({ involvedObject: { fieldPath } }) => fieldPath?.includes(`{${container}}`))
  const message = (
    named.length > 0 ? named : unhealthy.filter(({ involvedObject }) => involvedObject.fieldPath === undefined)
  ).at(-1)?.message
  if (message === undefined) return undefined
  const hidden = message.includes('statuscode: 500') ? await loggedProbeError(cluster, pod) : ''
  return `${message.trim().replace(/:$/, ' (the command printed nothing)')}${hidden ? ` (${hidden})` : ''}`
}

/**
 * The sidecar probes the application for the kubelet (port 15020) and answers every failure with 500, so only its log
 * has the error.
 */
async function loggedProbeError(cluster: Cluster, pod: Pod): Promise<string> {
  if (sidecarForm(pod) === 'none') return ''
  const log = await cluster.log(pod.metadata.namespace ?? '', pod.metadata.name, 'istio-proxy', 100).catch(() => '')
  const line = textLines(log).findLast((each) => each.includes('Request to probe app failed'))
  return line === undefined
    ? ''
    : logMessage(line)
        .replace(/^probes /, '')
        .replace(/, original URL path.*$/s, '')
}

function unready(pod: Pod, events: KubeEvent[]): string {
  if (isReady(pod)) return 'the pod is ready'
  const { reason, message = '' } = pod.status?.conditions?.find(({ type }) => type === 'Ready') ?? {}
  if (reason === 'ReadinessGatesNotReady')
    return `its containers are ready, but a readiness gate of the pod is not: ${message}`
  const event = events.findLast(({ type }) => type === 'Warning')
  return event
    ? `${event.reason ?? 'warning'}: ${event.message ?? ''}`
    : `the pod is ${pod.status?.phase ?? 'unknown'}: its containers have not started yet`
}
