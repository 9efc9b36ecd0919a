// The timeouts and retries of the routes to a service, and whether its pods can be ejected, as they are in the cluster.
import type { Cluster } from '../cluster/client.ts'
import { podsBehind } from '../cluster/labels.ts'
import {
  systemNamespace,
  type DestinationRule,
  type Pod,
  type Service,
  type VirtualService,
} from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { listReadable } from '../cluster/readable.ts'
import { faultRouteName } from '../config/names.ts'
import { parseDuration } from '../config/values/durations.ts'
import { hostOf } from '../policies/compile/names.ts'
import { routesOf } from '../policies/routes.ts'
import { ruleInForce, rulesOf } from './faults/connection-pool.ts'

/** `tries`: at most so many, the first one included. Times are milliseconds; undefined: no limit of its own. */
export type RoutePolicy = {
  name: string
  tries: number
  retryOn: string[]
  perTryTimeoutMs: number | undefined
  timeoutMs: number | undefined
}

/**
 * `policies`: of the routes to the watched service; without any, calls follow Istio's defaults. `pods`: how many pods serve
 * it, or will again. `ejects`: outlier detection is on; undefined if the account may not read the rules of the mesh.
 */
export type MeshFacts = { policies: RoutePolicy[]; pods: number; ejects: boolean | undefined }

/** What explains why the mesh did what it did to the calls to the service. */
export async function readMeshFacts(cluster: Cluster, namespace: string, service: string): Promise<MeshFacts> {
  const [virtualServices, rules, ofMesh, object, pods] = await Promise.all([
    cluster.list<VirtualService>('VirtualService', namespace),
    cluster.list<DestinationRule>('DestinationRule', namespace),
    listReadable<DestinationRule>(cluster, 'DestinationRule', [systemNamespace]),
    cluster.get<Service>('Service', namespace, service),
    cluster.list<Pod>('Pod', namespace),
  ])
  const own = rulesOf(rules, namespace, service)
  const inherited = own.length > 0 ? undefined : ruleInForce([rules, ofMesh.objects], namespace, service)
  const inForce = inherited ? [inherited] : own
  const isUnknown = inForce.length === 0 && ofMesh.unread.length > 0
  return {
    policies: virtualServices.flatMap((each) => policiesOf(each, namespace, service)),
    pods: object ? podsBehind(object, pods).filter(isLive).length : 0,
    ejects: isUnknown ? undefined : inForce.some(({ spec }) => JSON.stringify(spec).includes('"outlierDetection"')),
  }
}

type Stated = { retries?: { attempts?: number; perTryTimeout?: string; retryOn?: string }; timeout?: string }

/** Istio tries three times if a route states nothing. */
const defaultTries = 3

function policiesOf(object: VirtualService, namespace: string, service: string): RoutePolicy[] {
  return routesOf(object, namespace).flatMap(({ section, index, name, targets }) => {
    const isOfService = targets.some(({ host }) => host === hostOf(service, namespace))
    if (section !== 'http' || name === faultRouteName || !isOfService) return []
    const { retries, timeout } = object.spec.http![index]! as Stated
    return [
      {
        name: name ?? `number ${index + 1} of ${object.metadata.name}`,
        tries: retries ? 1 + (retries.attempts ?? 0) : defaultTries,
        retryOn: retries?.retryOn?.split(',').map((each) => each.trim()) ?? [],
        perTryTimeoutMs: parseDuration(retries?.perTryTimeout),
        timeoutMs: parseDuration(timeout),
      },
    ]
  })
}
