// The mutual TLS mode on the wire: a plaintext request to each port of each pod, through the API server's pod proxy,
// which is no part of the mesh. STRICT must refuse it; PERMISSIVE and DISABLE must answer it.
import type { Cluster } from '../cluster/client.ts'
import { matches } from '../cluster/labels.ts'
import { systemNamespace, type KubeObject, type Pod, type Service } from '../cluster/objects.ts'
import { hasSidecar, isReady } from '../mesh/sidecar.ts'
import { messageOf } from '../runtime/errors.ts'
import { protocolOf, servicePorts, type Protocol } from '../cluster/service-ports.ts'
import { systemClock } from '../runtime/clock.ts'

export type Mode = 'STRICT' | 'PERMISSIVE' | 'DISABLE'
type Mtls = { mode?: Mode | 'UNSET' }
export type PeerAuthentication = KubeObject & {
  spec?: { selector?: { matchLabels?: Record<string, string> }; mtls?: Mtls; portLevelMtls?: Record<string, Mtls> }
}

/** `ok` is undefined where a plaintext request tells nothing; `note` says why, or what is wrong. */
export type MtlsRow = {
  pod: string
  port: number
  expected: Mode
  seen: 'refused' | 'answered' | 'skipped' | 'unclear'
  ok?: boolean
  note?: string
}

/** The mode in force for a port: of the policy that selects the pod, else of the namespace, else of the mesh, else PERMISSIVE. */
export function modeOf(pod: Pod, port: number, policies: PeerAuthentication[], rootNamespace = systemNamespace): Mode {
  const oldestFirst = [...policies].sort((a, b) =>
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? ''),
  )
  const labels = ({ spec }: PeerAuthentication) => spec?.selector?.matchLabels ?? {}
  const selects = (policy: PeerAuthentication) => Object.keys(labels(policy)).length > 0
  const inNamespace = (namespace: string | undefined) =>
    oldestFirst.filter((each) => each.metadata.namespace === namespace)
  const own = inNamespace(pod.metadata.namespace)
  const workload = own.find((each) => selects(each) && matches(labels(each), pod.metadata.labels))
  const candidates = [
    workload?.spec?.portLevelMtls?.[port],
    workload?.spec?.mtls,
    own.find((each) => !selects(each))?.spec?.mtls,
    inNamespace(rootNamespace).find((each) => !selects(each))?.spec?.mtls,
  ]
  return candidates.map((each) => each?.mode).find((mode) => mode !== undefined && mode !== 'UNSET') ?? 'PERMISSIVE'
}

type Port = { number: number; protocol: Protocol; name?: string | undefined }

/** Ports that the pod serves: those its containers declare and those that Services send to it, whose word on the protocol counts. */
export function portsOf(pod: Pod, services: Service[]): Port[] {
  const declared = pod.spec.containers.filter(({ name }) => name !== 'istio-proxy').flatMap(({ ports = [] }) => ports)
  const ports = new Map<number, Port>(
    declared
      .filter(({ protocol }) => protocol !== 'UDP')
      .map((each) => [each.containerPort, { number: each.containerPort, name: each.name, protocol: protocolOf(each) }]),
  )
  for (const service of services.filter(({ spec }) => spec.selector && matches(spec.selector, pod.metadata.labels))) {
    for (const each of servicePorts(service).filter(({ protocol }) => protocol !== 'UDP')) {
      const target = each.targetPort ?? each.port
      const number = typeof target === 'number' ? target : declared.find(({ name }) => name === target)?.containerPort
      if (number !== undefined)
        ports.set(number, { number, name: each.appProtocol ?? each.name, protocol: protocolOf(each) })
    }
  }
  return [...ports.values()].sort((a, b) => a.number - b.number)
}

/** Asks again until `limitMs` where the answer is not the expected one: the proxies take a moment, and so do connections that are still open. */
export async function probeMtls(
  cluster: Cluster,
  namespace: string,
  signal: AbortSignal,
  limitMs = 10_000,
): Promise<MtlsRow[]> {
  const [pods, services, own, root] = await Promise.all([
    cluster.list<Pod>('Pod', namespace),
    cluster.list<Service>('Service', namespace),
    cluster.list<PeerAuthentication>('PeerAuthentication', namespace),
    cluster.list<PeerAuthentication>('PeerAuthentication', systemNamespace),
  ])
  const asked = pods.filter((pod) => hasSidecar(pod) && isReady(pod) && pod.metadata.deletionTimestamp === undefined)
  const until = systemClock.now() + limitMs
  const rows = asked.flatMap((pod) =>
    portsOf(pod, services).map((port) =>
      row(cluster, pod, port, modeOf(pod, port.number, [...own, ...root]), until, signal),
    ),
  )
  return Promise.all(rows)
}

async function row(
  cluster: Cluster,
  pod: Pod,
  port: Port,
  expected: Mode,
  until: number,
  signal: AbortSignal,
): Promise<MtlsRow> {
  const known = { pod: pod.metadata.name, port: port.number, expected }
  if (port.protocol === 'tcp' || port.protocol === 'tls')
    return {
      ...known,
      seen: 'skipped',
      note: `the port is named ${port.name ?? port.protocol}, so it does not speak plain HTTP and an HTTP request would prove nothing`,
    }
  for (;;) {
    const { seen, note } = await plaintext(cluster, pod, port.number)
    const ok = seen === 'unclear' ? undefined : (seen === 'refused') === (expected === 'STRICT')
    if (ok || systemClock.now() >= until)
      return {
        ...known,
        seen,
        ...(ok === undefined ? {} : { ok }),
        ...(ok === true ? {} : { note: note ?? wrong(seen, expected) }),
      }
    await systemClock.sleep(500, signal)
  }
}

function wrong(seen: MtlsRow['seen'], expected: Mode): string {
  return seen === 'answered'
    ? `a plaintext request was answered although the mode is ${expected}: the proxy has not taken the policy in, or the port is kept from it (traffic.sidecar.istio.io/excludeInboundPorts)`
    : `a plaintext request was refused although the mode is ${expected}: an older policy still stands, or an authorization policy refuses the connection`
}

/** A reset is the proxy's refusal. Any HTTP answer is an answer, an error of the application's too, and so are bytes that are not HTTP. The API server's own refusal is none. */
async function plaintext(
  cluster: Cluster,
  { metadata }: Pod,
  port: number,
): Promise<{ seen: 'refused' | 'answered' | 'unclear'; note?: string }> {
  try {
    await cluster.pod(metadata.namespace ?? '', metadata.name, port, '/')
    return { seen: 'answered' }
  } catch (error) {
    const message = messageOf(error)
    if (/connection reset|: EOF/.test(message)) return { seen: 'refused' }
    if (
      /malformed HTTP response/.test(message) ||
      !/error trying to reach service|does not answer|is forbidden: User /.test(message)
    )
      return { seen: 'answered' }
    return { seen: 'unclear', note: `the plaintext request came to nothing that tells the mode: ${message}` }
  }
}
