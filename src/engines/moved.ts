// Which services of a namespace a controller moves the traffic of, and by which objects of Istio it does.
import { emptyWhenAbsent, emptyWhenUnread, isForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { keyOf, titleOf, type KubeObject, type Service, type VirtualService } from '../cluster/objects.ts'
import type { EngineType } from '../config/schema/engine.ts'
import { nameIn, virtualServicesOf } from './argo-rollouts.ts'
import { engineOf } from './engine.ts'
import { canaryServices } from './flagger.ts'
import type { FlaggerCanary, Rollout } from './objects.ts'
import { serviceOf, servicesOfCanary, servicesOfRollout, type Routing } from './served.ts'

/**
 * `key`: of its object; undefined if only a mark on the routes names that. `services`: whose traffic it moves, and those that it
 * moves it to. `writes`: the keys of the VirtualServices and DestinationRules that it writes. `faults`: why a run cannot
 * follow it.
 */
export type Moved = {
  engine: EngineType
  title: string
  key?: string
  services: string[]
  writes: string[]
  faults: string[]
}

/** Without the right to read the controllers' objects, marks on the routes tell; a mark may outlive what it names. */
export async function movedServices(cluster: Cluster, namespace: string, routing: Routing): Promise<Moved[]> {
  const undefinedWhenUnread = (error: unknown) => (isForbidden(error) ? undefined : emptyWhenAbsent(error))
  const [rollouts, canaries, services] = await Promise.all([
    cluster.list<Rollout>('Rollout', namespace).catch(undefinedWhenUnread),
    cluster.list<FlaggerCanary>('Canary', namespace).catch(undefinedWhenUnread),
    cluster.list<Service>('Service', namespace).catch(emptyWhenUnread),
  ])
  return [
    ...(rollouts
      ?.filter(({ spec }) => spec.strategy?.canary?.trafficRouting !== undefined)
      .map((each) => movedByRollout(each, routing)) ?? markedByArgo(routing, services, namespace)),
    ...(canaries?.map(movedByCanary) ?? markedByFlagger(routing, namespace)),
  ]
}

function movedByRollout(rollout: Rollout, routing: Routing): Moved {
  const { namespace = '' } = rollout.metadata
  const rule = rollout.spec.strategy?.canary?.trafficRouting?.istio?.destinationRule
  return {
    ...describe('argo-rollouts', rollout),
    services: servicesOfRollout(rollout, routing),
    writes: [
      ...virtualServicesOf(rollout)
        .flatMap(({ name }) => nameIn(namespace, name) ?? [])
        .map((name) => istioKey('VirtualService', namespace, name)),
      ...(rule ? [istioKey('DestinationRule', namespace, rule.name)] : []),
    ],
  }
}

function movedByCanary(canary: FlaggerCanary): Moved {
  const { namespace = '' } = canary.metadata
  const { apex, ...both } = canaryServices(canary)
  return {
    ...describe('flagger', canary),
    services: servicesOfCanary(canary),
    writes: [
      istioKey('VirtualService', namespace, apex),
      ...Object.values(both).map((name) => istioKey('DestinationRule', namespace, name)),
    ],
  }
}

function describe(type: EngineType, object: KubeObject): Pick<Moved, 'engine' | 'title' | 'key' | 'faults'> {
  const { kind, faults } = engineOf(type)
  const named = { ...object, kind }
  return { engine: type, title: titleOf(named), key: keyOf(named), faults: faults(object) }
}

function istioKey(kind: 'VirtualService' | 'DestinationRule', namespace: string, name: string): string {
  return keyOf({ apiVersion: 'networking.istio.io/v1', kind, metadata: { namespace, name } })
}

/** What Argo Rollouts puts on the DestinationRules and Services that it changes. */
const managedByRollouts = 'argo-rollouts.argoproj.io/managed-by-rollouts'

function markedByArgo({ destinationRules }: Routing, services: Service[], namespace: string): Moved[] {
  const moved = ({ metadata }: KubeObject, own: string[], writes: string[]): Moved[] => {
    const name = metadata.annotations?.[managedByRollouts]
    if (name === undefined) return []
    return [{ engine: 'argo-rollouts', title: `Rollout ${namespace}/${name}`, services: own, writes, faults: [] }]
  }
  return [
    ...destinationRules.flatMap((rule) =>
      moved(rule, serviceOf(rule.spec.host, namespace), [istioKey('DestinationRule', namespace, rule.metadata.name)]),
    ),
    ...services.flatMap((service) => moved(service, [service.metadata.name], [])),
  ]
}

function markedByFlagger({ virtualServices }: Routing, namespace: string): Moved[] {
  return virtualServices.flatMap((object): Moved[] => {
    const owner = object.metadata.ownerReferences?.find(
      ({ kind, apiVersion }) => kind === 'Canary' && apiVersion?.startsWith('flagger.app/'),
    )
    if (!owner) return []
    const writes = [istioKey('VirtualService', namespace, object.metadata.name)]
    return [
      { engine: 'flagger', title: `Canary ${namespace}/${owner.name}`, services: hostsOf(object), writes, faults: [] },
    ]
  })
}

const hostsOf = ({ spec, metadata: { namespace = '' } }: VirtualService) =>
  (spec.hosts ?? []).flatMap((host) => serviceOf(host, namespace))
