// Chooses where the request of the proof enters the application. Pure.
import { podsBehind } from '../../cluster/labels.ts'
import type { Pod, Service } from '../../cluster/objects.ts'
import { isLive, isReady } from '../../cluster/pods.ts'
import { protocolOf, servicePorts, speaksGrpc, targetPort } from '../../cluster/service-ports.ts'
import { mentionsService } from '../../cluster/service-mentions.ts'
import type { Config } from '../../config/schema.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'

/** `port`: the container's. `isHttp2`: by the port's name or appProtocol, the application speaks HTTP/2 or gRPC there. */
export type Entry = { service: string; pod: Pod; port: number; isHttp2: boolean }

/**
 * The service of the config; else an exposed one, one that calls others and is called by none, or any that speaks HTTP.
 * Among these, HTTP/1.1 comes first, because the request can also reach it past the sidecar.
 * @returns a sentence if no service can take the request.
 */
export function chooseEntry(
  { namespace, expose = {}, observability }: Pick<Config, 'namespace' | 'expose' | 'observability'>,
  services: readonly Service[],
  pods: readonly Pod[],
): Entry | string {
  const named = observability?.proof.service
  const entries = http1First(services.flatMap((service) => entryOf(service, pods) ?? []))
  if (named !== undefined)
    return (
      entries.find(({ service }) => service === named) ??
      `observability.proof.service: the Service ${namespace}/${named} has no port for HTTP with a ready pod that has a ` +
        `sidecar; those that have one are ${entries.map(({ service }) => service).join(', ') || 'none'}`
    )
  const exposed = entries.find(({ service }) => expose[service] !== undefined)
  return (
    exposed ??
    entries.find((entry) => calls(entry, entries, namespace) && !isCalled(entry, entries, namespace)) ??
    entries[0] ??
    `no Service of ${namespace} has a port for HTTP with a ready pod that has a sidecar`
  )
}

function entryOf(service: Service, pods: readonly Pod[]): Entry | undefined {
  const ports = servicePorts(service).filter((each) => protocolOf(each) === 'http')
  const port = ports.find((each) => !speaksGrpc(each)) ?? ports[0]
  const pod = podsBehind(service, pods).find((each) => isLive(each) && isReady(each) && hasRunningSidecar(each))
  const number = pod && port && targetPort(pod, port)
  return pod && port && number !== undefined
    ? { service: service.metadata.name, pod, port: number, isHttp2: speaksGrpc(port) }
    : undefined
}

function http1First(entries: readonly Entry[]): Entry[] {
  return [...entries.filter(({ isHttp2 }) => !isHttp2), ...entries.filter(({ isHttp2 }) => isHttp2)]
}

function calls({ pod, service }: Entry, entries: readonly Entry[], namespace: string): boolean {
  return entries.some(
    (each) => each.service !== service && mentionsService(pod.spec.containers, each.service, namespace),
  )
}

function isCalled({ service }: Entry, entries: readonly Entry[], namespace: string): boolean {
  return entries.some(
    (each) => each.service !== service && mentionsService(each.pod.spec.containers, service, namespace),
  )
}
