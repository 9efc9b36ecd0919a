// Checks before the run changes anything: that it can follow the rollouts of the config, and that this program moves no
// traffic that a controller moves.
import { emptyWhenUnread, isForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { titleOf, type KubeObject, type Service, type VirtualService } from '../cluster/objects.ts'
import { canariesOf, canaryKeyOf, followedCanariesOf } from '../config/names.ts'
import { nearest } from '../config/nearest.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { engineOf, type EngineType } from './engine.ts'
import { findFollowed, NotFollowable } from './find.ts'
import type { FlaggerCanary, Rollout } from './objects.ts'
import { serviceOf, servicesOfCanary, servicesOfRollout, type Routing } from './served.ts'

/** One sentence for each fault. `writes`: the run writes the generated objects itself, before it follows them. */
export async function followFaults(cluster: Cluster, config: Config, writes = false): Promise<string[]> {
  const faults = followedCanariesOf(config).map((plan) => faultsOf(cluster, config, plan, writes))
  return (await Promise.all(faults)).flat()
}

async function faultsOf(cluster: Cluster, config: Config, plan: CanaryConfig, writes: boolean): Promise<string[]> {
  const { namespace } = config
  if (writes && plan.engine.generate && !(await isGenerated(cluster, namespace, plan))) return []
  const key = canaryKeyOf(config, plan.service)
  try {
    const services = await cluster.list<Service>('Service', namespace)
    const names = services.map(({ metadata }) => metadata.name)
    if (!names.includes(plan.service))
      return [
        `${key}.service: the Service ${namespace}/${plan.service} does not exist${nearest(plan.service, names)}; correct the name`,
      ]
    await findFollowed(cluster, namespace, plan)
    return []
  } catch (problem) {
    if (problem instanceof NotFollowable) return problem.faults.map((fault) => `${key}.engine: ${fault}`)
    if (!isForbidden(problem)) throw problem
    return [
      `${key}.engine: this account may not read all that a followed rollout needs: ${problem.message}; give it the rights of ` +
        'deploy/rbac/engines.yaml',
    ]
  }
}

async function isGenerated(cluster: Cluster, namespace: string, { service, engine }: CanaryConfig): Promise<boolean> {
  const { kind } = engineOf(engine.type as EngineType)
  return (await cluster.get<KubeObject>(kind, namespace, service)) !== undefined
}

/** A controller would undo the weights of this program, and this program those of the controller. */
export async function conflictFaults(cluster: Cluster, config: Config, routing: Routing): Promise<string[]> {
  const canaries = canariesOf(config)
  if (canaries.length === 0) return []
  const moved = await movedServices(cluster, config.namespace, routing)
  return canaries.flatMap(({ service, stable, canary }) => {
    const own = [service, ...[stable, canary].flatMap(({ by, name }) => (by === 'service' ? name : []))]
    const owner = moved.find(({ services }) => services.some((each) => own.includes(each)))
    if (!owner) return []
    return [
      `${canaryKeyOf(config, service)}.service: ${engineOf(owner.engine).title} moves the traffic of ${service} ` +
        `(${owner.title}), and would undo the weights of this run; set \`engine: ${owner.engine}\` to follow it, or delete it`,
    ]
  })
}

type Owner = { engine: EngineType; title: string; services: string[] }

async function movedServices(cluster: Cluster, namespace: string, routing: Routing): Promise<Owner[]> {
  const unread = (error: unknown) => (emptyWhenUnread(error), undefined)
  const [rollouts, canaries, services] = await Promise.all([
    cluster.list<Rollout>('Rollout', namespace).catch(unread),
    cluster.list<FlaggerCanary>('Canary', namespace).catch(unread),
    cluster.list<Service>('Service', namespace).catch(emptyWhenUnread),
  ])
  // A mark may outlive the object that it names.
  const { ofArgo, ofFlagger } = marked(routing, services, namespace)
  return [
    ...(rollouts
      ?.filter(({ spec }) => spec.strategy?.canary?.trafficRouting !== undefined)
      .map((each) => ownerOf('argo-rollouts', each, servicesOfRollout(each, routing))) ?? ofArgo),
    ...(canaries?.map((each) => ownerOf('flagger', each, servicesOfCanary(each))) ?? ofFlagger),
  ]
}

function ownerOf(engine: EngineType, object: KubeObject, services: string[]): Owner {
  return { engine, title: titleOf({ ...object, kind: engineOf(engine).kind }), services }
}

/** What Argo Rollouts puts on the DestinationRules and Services that it changes. */
const managedByRollouts = 'argo-rollouts.argoproj.io/managed-by-rollouts'

/** What the routes themselves say, for an account that may not read the controllers' objects. */
function marked({ virtualServices, destinationRules }: Routing, services: Service[], namespace: string) {
  const ofFlagger = virtualServices.flatMap((object): Owner[] => {
    const owner = object.metadata.ownerReferences?.find(
      ({ kind, apiVersion }) => kind === 'Canary' && apiVersion?.startsWith('flagger.app/'),
    )
    return owner ? [{ engine: 'flagger', title: `Canary ${namespace}/${owner.name}`, services: hostsOf(object) }] : []
  })
  const byArgo = ({ metadata }: KubeObject, services: string[]): Owner[] => {
    const name = metadata.annotations?.[managedByRollouts]
    return name === undefined ? [] : [{ engine: 'argo-rollouts', title: `Rollout ${namespace}/${name}`, services }]
  }
  const ofArgo = [
    ...destinationRules.flatMap((rule) => byArgo(rule, serviceOf(rule.spec.host, namespace))),
    ...services.flatMap((service) => byArgo(service, [service.metadata.name])),
  ]
  return { ofArgo, ofFlagger }
}

const hostsOf = ({ spec, metadata: { namespace = '' } }: VirtualService) =>
  (spec.hosts ?? []).flatMap((host) => serviceOf(host, namespace))
