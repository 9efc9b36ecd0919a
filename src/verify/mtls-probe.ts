// Probes the mutual TLS mode with a plaintext request to each port of each pod. The request goes through the API
// server's pod proxy, which is outside the mesh. A proxy must refuse it in STRICT mode, and answer it in PERMISSIVE and
// DISABLE mode.
import pMap from 'p-map'
import { ApiError, isForbidden, isNotFound } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, titleOf, type Pod, type Service } from '../cluster/objects.ts'
import { isLive, isReady } from '../cluster/pods.ts'
import { hasSidecar } from '../mesh/sidecar.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import {
  effectiveMode,
  portsOf,
  statedMode,
  type EffectiveMode,
  type Mode,
  type PeerAuthentication,
  type PodPort,
} from './mtls-modes.ts'

/** `ok` is undefined if the probe proves nothing. `note` says why, or what is wrong. */
export type MtlsRow = {
  pod: string
  port: number
  expected: Mode
  seen: 'refused' | 'answered' | 'skipped' | 'unclear'
  ok?: boolean
  note?: string
}

/**
 * `asked`: the policies of the config; where they state no mode, the one in force is expected. Repeats a probe with an
 * unexpected result until `limitMs`, because the proxies need time to apply a policy and to close open connections.
 */
export async function probeMtls(
  cluster: Cluster,
  namespace: string,
  asked: readonly PeerAuthentication[],
  signal: AbortSignal,
  limitMs = 10_000,
): Promise<MtlsRow[]> {
  const [pods, services, own, root] = await Promise.all([
    cluster.list<Pod>('Pod', namespace),
    cluster.list<Service>('Service', namespace),
    cluster.list<PeerAuthentication>('PeerAuthentication', namespace),
    cluster.list<PeerAuthentication>('PeerAuthentication', systemNamespace),
  ])
  const policies = [...own, ...root]
  const probed = pods.filter((pod) => hasSidecar(pod) && isReady(pod) && isLive(pod))
  const until = systemClock.now() + limitMs
  const ports = probed.flatMap((pod) => portsOf(pod, services).map((port) => ({ pod, port })))
  const rows = await pMap(
    ports,
    ({ pod, port }) => {
      const inForce = effectiveMode(pod, port.number, policies)
      const expected = statedMode(pod, port.number, asked) ?? inForce.mode
      return expected === inForce.mode
        ? probePort(cluster, pod, port, expected, until, signal)
        : undone(pod, port, expected, inForce)
    },
    { concurrency },
  )
  return rows.filter((row) => row !== undefined)
}

/** So many ports are probed at a time. */
const concurrency = 20

/** The result for a port whose mode by the policies in the cluster is not that of the config. */
function undone({ metadata }: Pod, { number }: PodPort, expected: Mode, { mode, by }: EffectiveMode): MtlsRow {
  const cause = by ? `the ${titleOf(by)} is in force` : 'no PeerAuthentication is in force'
  const note = `the config asks for ${expected}, but the mode is ${mode}: ${cause}`
  return { pod: metadata.name, port: number, expected, seen: 'skipped', ok: false, note }
}

/** Undefined if the pod is gone. */
async function probePort(
  cluster: Cluster,
  pod: Pod,
  port: PodPort,
  expected: Mode,
  until: number,
  signal: AbortSignal,
): Promise<MtlsRow | undefined> {
  const probe = { pod: pod.metadata.name, port: port.number, expected }
  if (port.protocol === 'tcp' || port.protocol === 'tls')
    return {
      ...probe,
      seen: 'skipped',
      note:
        `the port is named ${port.name ?? port.protocol}, so it does not speak plain HTTP, ` +
        'and an HTTP request would prove nothing',
    }
  for (;;) {
    const answer = await requestPlaintext(cluster, pod, port.number)
    if (answer.seen === 'gone') return undefined
    const row = { ...probe, ...resultOf(answer, expected) }
    if (row.ok || systemClock.now() >= until) return row
    await systemClock.sleep(500, signal)
  }
}

type Answer = { seen: 'refused' | 'answered' } | { seen: 'unclear'; note: string }

function resultOf(answer: Answer, expected: Mode): Pick<MtlsRow, 'seen' | 'ok' | 'note'> {
  if (answer.seen === 'unclear') return answer
  const { seen } = answer
  const ok = (seen === 'refused') === (expected === 'STRICT')
  return ok ? { seen, ok } : { seen, ok, note: faultOf(seen, expected) }
}

function faultOf(seen: 'refused' | 'answered', expected: Mode): string {
  if (seen === 'answered')
    return (
      `the pod answered a plaintext request although the mode is ${expected}: its proxy has not received the policy, ` +
      'or does not intercept the port (traffic.sidecar.istio.io/excludeInboundPorts)'
    )
  return (
    `the pod refused a plaintext request although the mode is ${expected}: an older policy is still in force, ` +
    'or an authorization policy refuses the connection'
  )
}

/**
 * A reset is the proxy's refusal. Any HTTP response of the pod counts as an answer, even an error of the application, and so
 * do bytes other than HTTP. If the API server itself refuses or fails, the probe proves nothing.
 */
async function requestPlaintext(cluster: Cluster, { metadata }: Pod, port: number): Promise<Answer | { seen: 'gone' }> {
  try {
    await cluster.pod(metadata.namespace ?? '', metadata.name, port, '/')
    return { seen: 'answered' }
  } catch (error) {
    const message = messageOf(error)
    if (isNotFound(error) && message.startsWith(`pods "${metadata.name}`)) return { seen: 'gone' }
    const isFromServer = error instanceof ApiError && error.status !== 0
    if (isFromServer && /connection reset|: EOF/.test(message)) return { seen: 'refused' }
    if (isFromServer && (/malformed HTTP response/.test(message) || (await isPodsAnswer(cluster, error))))
      return { seen: 'answered' }
    return { seen: 'unclear', note: `the plaintext request does not show the mode: ${message}` }
  }
}

const apiServersWords =
  /error trying to reach service|is forbidden: User |Internal error occurred|unable to handle the request|Too many requests, please try again later/

/** An application may answer 401, and the API server may: then it refuses this account's next request as well. */
async function isPodsAnswer(cluster: Cluster, { status, message }: ApiError): Promise<boolean> {
  if (status !== 401) return !apiServersWords.test(message)
  return cluster.get('Namespace', undefined, systemNamespace).then(() => true, isForbidden)
}
