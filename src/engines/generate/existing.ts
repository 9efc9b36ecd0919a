// Reads what the cluster has of the canaries whose objects the run generates, and checks that they can be generated.
import { autoscalerOf } from '../../cluster/autoscalers.ts'
import { emptyWhenAbsent } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import type { DestinationRule, Service, VirtualService, Workload } from '../../cluster/objects.ts'
import { titleOf, type KubeObject } from '../../cluster/objects.ts'
import { canaryKeyOf, generatedCanariesOf } from '../../config/names.ts'
import { nearest } from '../../config/nearest.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import type { EngineType } from '../../config/schema/engine.ts'
import { engineOf, missingCrds, type Engine } from '../engine.ts'
import type { Rollout } from '../objects.ts'
import { servicesMovedBy } from '../served.ts'
import type { Existing } from './keep.ts'

/** By service. */
export async function readExisting(cluster: Cluster, config: Config): Promise<Map<string, Existing>> {
  const plans = generatedCanariesOf(config)
  if (plans.length === 0) return new Map()
  const { namespace } = config
  const [virtualServices, destinationRules] = await Promise.all([
    cluster.list<VirtualService>('VirtualService', namespace).catch(emptyWhenAbsent),
    cluster.list<DestinationRule>('DestinationRule', namespace).catch(emptyWhenAbsent),
  ])
  const found = plans.map(async ({ service, engine }): Promise<[string, Existing]> => {
    const isArgo = engine.type === 'argo-rollouts'
    const [object, workload, rollout] = await Promise.all([
      cluster.get<Service>('Service', namespace, service),
      cluster.get<Workload>('Deployment', namespace, engine.workload ?? service),
      isArgo ? cluster.get<Rollout>('Rollout', namespace, service) : undefined,
    ])
    const autoscaler = workload && (await autoscalerOf(cluster, workload))
    return [service, { service: object, workload, rollout, autoscaler, virtualServices, destinationRules }]
  })
  return new Map(await Promise.all(found))
}

/** Why the objects cannot be generated; one sentence each, which begins with the key. */
export async function generateFaults(cluster: Cluster, config: Config): Promise<string[]> {
  const existing = await readExisting(cluster, config)
  const faults = generatedCanariesOf(config).map(async (plan) => {
    const key = canaryKeyOf(config, plan.service)
    return (await faultsOf(cluster, config, plan, existing.get(plan.service)!)).map((fault) => `${key}.engine${fault}`)
  })
  return (await Promise.all(faults)).flat()
}

async function faultsOf(cluster: Cluster, { namespace }: Config, plan: CanaryConfig, existing: Existing) {
  const engine = engineOf(plan.engine.type as EngineType)
  const { kind } = engine
  if (!(await cluster.serves(kind))) return [`: ${missingCrds(engine)}`]
  const { service, workload, autoscaler } = existing
  const name = plan.engine.workload ?? plan.service
  if (!workload) {
    const names = (await cluster.list<Workload>('Deployment', namespace)).map(({ metadata }) => metadata.name)
    return [`.workload: the Deployment ${namespace}/${name} does not exist${nearest(name, names)}; correct the name`]
  }
  const others = await othersFor(cluster, namespace, plan, engine, existing)
  return [
    ...others.map(
      (object) =>
        `: the ${titleOf({ ...object, kind })} moves the traffic of ${plan.service} already; delete it, or remove \`generate\` to follow it`,
    ),
    ...(kind === 'Rollout' && autoscaler
      ? [
          `: the ${titleOf({ ...autoscaler, kind: 'HorizontalPodAutoscaler' })} scales the Deployment ${name}, and Argo Rollouts scales that to 0; let it scale the Rollout ${plan.service}`,
        ]
      : []),
    ...(kind === 'Canary' && service && service.spec.ports.length > 1
      ? [
          `: the Service ${namespace}/${plan.service} has several ports, and Flagger would write it with one; write the Canary yourself (\`mesh-canary convert\`), with \`portDiscovery\``,
        ]
      : []),
  ]
}

/** Objects of another name that move the traffic of the service. */
async function othersFor(
  cluster: Cluster,
  namespace: string,
  { service }: CanaryConfig,
  { kind }: Engine,
  { virtualServices, destinationRules }: Existing,
): Promise<KubeObject[]> {
  const all = await cluster.list<KubeObject>(kind, namespace)
  const routing = { virtualServices, destinationRules }
  return all.filter(
    (object) => object.metadata.name !== service && servicesMovedBy(kind, object, routing).includes(service),
  )
}
