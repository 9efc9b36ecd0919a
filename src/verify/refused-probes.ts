// Finds probes of the kubelet that STRICT refuses. The injector rewrites probes to go through the sidecar's agent,
// unless an annotation or the mesh turns that off. Pure.
import { titleOf, type Container, type Pod, type Probe, type Workload } from '../cluster/objects.ts'
import { belongs } from '../cluster/labels.ts'
import { excludedPortsAnnotation, includedPortsAnnotation, rewriteProbesAnnotation } from '../mesh/labels.ts'
import { containerPort } from '../cluster/service-ports.ts'
import { isReady } from '../cluster/pods.ts'
import { expectsSidecar, hasSidecar, templatePod } from '../mesh/sidecar.ts'
import type { MtlsFacts } from './mtls-facts.ts'
import { effectiveMode } from './mtls-modes.ts'

type FoundProbe = { container: string; name: string; type: 'httpGet' | 'tcpSocket' | 'grpc'; port: number }

/**
 * `faults`: probes that would fail. `warnings`: TCP probes, which the sidecar answers, so that they never fail.
 * `isInjected`: true for a workload that the run gives a sidecar.
 */
export function refusedProbes(
  facts: MtlsFacts,
  isInjected: (workload: Workload) => boolean,
): { faults: string[]; warnings: string[] } {
  const found = [...workloadPods(facts, isInjected), ...otherPods(facts)].flatMap(({ owner, pod }) =>
    unrewrittenProbes(pod)
      .filter(({ port }) => wouldRefuse(pod, port, facts))
      .map((probe) => ({ ...probe, owner })),
  )
  const of = (isTcp: boolean) => found.filter(({ type }) => (type === 'tcpSocket') === isTcp)
  return {
    faults: of(false).map(
      ({ owner, container, name, type, port }) =>
        `mtls: STRICT refuses the ${name} of ${owner} (container ${container}, ${type} ${port}), because the kubelet ` +
        `sends plaintext and the probe is not rewritten; ${remedy(port)}`,
    ),
    warnings: of(true).map(
      ({ owner, container, name, port }) =>
        `mtls: the sidecar answers the ${name} of ${owner} (container ${container}, tcpSocket ${port}) whether the ` +
        `application runs or not, because the probe is not rewritten; ${remedy(port)}`,
    ),
  }
}

type OwnedPod = { owner: string; pod: Pod }

/** For each workload a pod with a sidecar, or the one that the run creates. */
function workloadPods({ workloads, pods }: MtlsFacts, isInjected: (workload: Workload) => boolean): OwnedPod[] {
  return workloads.flatMap((workload) => {
    const injected = pods.find((pod) => belongs(workload, pod) && hasSidecar(pod))
    if (!injected && !isInjected(workload)) return []
    return [{ owner: titleOf(workload), pod: injected ?? templatePod(workload) }]
  })
}

/** Pods of other controllers, and those without one. */
function otherPods({ workloads, pods }: MtlsFacts): OwnedPod[] {
  return pods
    .filter((pod) => hasSidecar(pod) && !workloads.some((workload) => belongs(workload, pod)))
    .map((pod) => ({ owner: titleOf(pod), pod }))
}

function remedy(port: number): string {
  return (
    `remove the annotation ${rewriteProbesAnnotation}: "false", or exclude the port from the sidecar ` +
    `(${excludedPortsAnnotation}: "${port}"), or except it in \`mtls.workloads\``
  )
}

/** A pod that is ready under STRICT shows that its probes pass. */
function wouldRefuse(pod: Pod, port: number, { before, after }: MtlsFacts): boolean {
  if (effectiveMode(pod, port, after).mode !== 'STRICT' || !isIntercepted(pod, port)) return false
  return effectiveMode(pod, port, before).mode !== 'STRICT' || !isReady(pod)
}

function isIntercepted({ metadata: { annotations = {} } }: Pod, port: number): boolean {
  const lists = (ports: string | undefined) => (ports ?? '').split(',').some((each) => Number(each.trim()) === port)
  const included = annotations[includedPortsAnnotation] ?? '*'
  return !lists(annotations[excludedPortsAnnotation]) && (included === '*' || lists(included))
}

/** The probes of a pod as they are, or of a pod that the injector would leave as they are. */
function unrewrittenProbes(pod: Pod): FoundProbe[] {
  const isInjected = hasSidecar(pod)
  const keeps = pod.metadata.annotations?.[rewriteProbesAnnotation] === 'false'
  if (!isInjected && !(keeps && expectsSidecar(pod))) return []
  const application = pod.spec.containers.filter(({ name }) => name !== 'istio-proxy')
  return application.flatMap((container) => probesOf(pod, container))
}

function probesOf(pod: Pod, container: Container): FoundProbe[] {
  return (['startupProbe', 'readinessProbe', 'livenessProbe'] as const).flatMap((name) => {
    const target = targetOf(container[name])
    const port = target && containerPort(pod, target.port)
    return target && port !== undefined ? [{ container: container.name, name, type: target.type, port }] : []
  })
}

/** Undefined for a rewritten probe, one by a command, and one of another host. */
function targetOf({
  httpGet,
  tcpSocket,
  grpc,
}: Probe = {}): { type: FoundProbe['type']; port: number | string } | undefined {
  if (httpGet) return httpGet.host || isRewritten(httpGet.path) ? undefined : { type: 'httpGet', port: httpGet.port }
  if (tcpSocket) return tcpSocket.host ? undefined : { type: 'tcpSocket', port: tcpSocket.port }
  return grpc && { type: 'grpc', port: grpc.port }
}

const isRewritten = (path = '') => path.startsWith('/app-health/')
