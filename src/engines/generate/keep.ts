// What the generated objects keep of those in the cluster: what a controller has written, and what it must not lose. Pure.
import { withoutUndefined } from '../../runtime/without-undefined.ts'
import type {
  DestinationRule,
  HorizontalPodAutoscaler,
  Service,
  VirtualService,
  Workload,
} from '../../cluster/objects.ts'
import { podHashLabel } from '../argo-rollouts.ts'
import type { EngineObject } from '../convert/generated.ts'
import type { Rollout } from '../objects.ts'

/** What the cluster has of one canary; nothing without a cluster. */
export type Existing = {
  service?: Service | undefined
  workload?: Workload | undefined
  rollout?: Rollout | undefined
  autoscaler?: HorizontalPodAutoscaler | undefined
  virtualServices: readonly VirtualService[]
  destinationRules: readonly DestinationRule[]
}

type Section = Record<string, unknown>

/**
 * The label by which Argo Rollouts tells the subsets apart, the routes that it adds during a step, and the number of pods,
 * which a new Rollout takes over from its Deployment. The weights are kept like those of every promotion.
 */
export function keepForArgo(objects: readonly EngineObject[], existing: Existing): EngineObject[] {
  return objects.map((object) => {
    if (object.kind === 'Rollout') return withReplicas(object, existing)
    if (object.kind === 'DestinationRule') return withSubsetLabels(object, existing)
    return object.kind === 'VirtualService' ? withManagedRoutes(object, objects, existing) : object
  })
}

function withReplicas(object: EngineObject, { rollout, workload }: Existing): EngineObject {
  const replicas = rollout?.spec.replicas ?? workload?.spec.replicas
  return replicas === undefined ? object : { ...object, spec: { replicas, ...object.spec } }
}

function withSubsetLabels(object: EngineObject, { destinationRules }: Existing): EngineObject {
  const live = destinationRules.find(({ metadata: { name } }) => name === object.metadata.name)
  const subsets = (object.spec['subsets'] as DestinationRule['spec']['subsets'])?.map((subset) => {
    const hash = live?.spec.subsets?.find(({ name }) => name === subset.name)?.labels?.[podHashLabel]
    return hash === undefined ? subset : { ...subset, labels: { ...subset.labels, [podHashLabel]: hash } }
  })
  return subsets ? { ...object, spec: { ...object.spec, subsets } } : object
}

function withManagedRoutes(
  object: EngineObject,
  objects: readonly EngineObject[],
  { virtualServices }: Existing,
): EngineObject {
  const live = virtualServices.find(({ metadata: { name } }) => name === object.metadata.name)
  const managed = managedRoutes(objects)
  const now = (live?.spec.http ?? []).filter(({ name = '' }) => managed.includes(name))
  return { ...object, spec: { ...object.spec, http: [...now, ...(object.spec['http'] as object[])] } }
}

function managedRoutes(objects: readonly EngineObject[]): string[] {
  const rollout = objects.find(({ kind }) => kind === 'Rollout')
  const { canary } = (rollout?.spec['strategy'] ?? {}) as { canary?: { trafficRouting: Section } }
  return ((canary?.trafficRouting['managedRoutes'] ?? []) as { name: string }[]).map(({ name }) => name)
}

/**
 * The port of the Service, because Flagger writes the Service anew; its autoscaler, which the copy needs as well; and the way
 * back: without `revertOnDeletion`, no pod would be left once the Canary is deleted.
 */
export function keepForFlagger(objects: readonly EngineObject[], { service, autoscaler }: Existing): EngineObject[] {
  return objects.map((object) => {
    if (object.kind !== 'Canary') return object
    const { service: ofCanary, ...spec } = object.spec
    const autoscalerRef = autoscaler && {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      name: autoscaler.metadata.name,
    }
    return {
      ...object,
      spec: {
        ...spec,
        ...(autoscalerRef && { autoscalerRef }),
        revertOnDeletion: true,
        service: { ...(ofCanary as Section), ...portOf(service) },
      },
    }
  })
}

function portOf(service: Service | undefined): Section {
  const [first] = service?.spec.ports ?? []
  if (!first) return {}
  const { port, name, targetPort, appProtocol } = first
  return withoutUndefined({
    port,
    portName: name,
    targetPort: targetPort === port ? undefined : targetPort,
    appProtocol,
  })
}
