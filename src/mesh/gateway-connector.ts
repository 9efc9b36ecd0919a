// Opens connections to an ingress gateway: to a ready pod of it, at its port for plain HTTP.
import type { Duplex } from 'node:stream'
import type { Cluster } from '../cluster/client.ts'
import type { Forward } from '../cluster/forward.ts'
import { matches } from '../cluster/labels.ts'
import { systemNamespace, type Pod, type Service } from '../cluster/objects.ts'
import { isReady } from '../cluster/pods.ts'

/** For the error: who needs the gateway, and what to do without one. */
type Need = { purpose: string; otherwise: string }

/**
 * Chooses a pod for each connection. `label`: the value of the gateway's label `istio`. @throws Error if no Service of the
 * gateway has port 80.
 */
export async function gatewayConnector(
  cluster: Cluster,
  forward: Forward,
  label: string,
  pods: () => Pod[],
  need: Need,
): Promise<() => Promise<Duplex>> {
  const services = await cluster.list<Service>('Service', systemNamespace)
  const service = services.find(
    ({ spec }) => spec.selector?.['istio'] === label && spec.ports.some(({ port }) => port === 80),
  )
  if (!service) throw new Error(noGateway(label, need))
  const { targetPort = 80 } = service.spec.ports.find(({ port }) => port === 80)!
  return () => {
    const pod = pods().find((each) => isReady(each) && matches(service.spec.selector!, each.metadata.labels))
    if (!pod) return Promise.reject(new Error(`no pod of the gateway istio=${label} is ready`))
    return forward(systemNamespace, pod.metadata.name, containerPort(pod, targetPort))
  }
}

function noGateway(label: string, { purpose, otherwise }: Need): string {
  return (
    `${purpose} need a gateway, but no Service in ${systemNamespace} ` +
    `with the selector istio=${label} has port 80; ` +
    `install a gateway (the profiles \`default\` and \`demo\` include one), or ${otherwise}`
  )
}

function containerPort({ spec }: Pod, port: number | string): number {
  if (typeof port === 'number') return port
  return spec.containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === port)?.containerPort ?? 80
}
