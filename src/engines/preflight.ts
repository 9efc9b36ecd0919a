// Checks before the run changes anything: that it can follow the rollouts of the config, and that this program moves no
// traffic that a controller moves.
import { isForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject, Service } from '../cluster/objects.ts'
import { canariesOf, canaryKeyOf, followedCanariesOf } from '../config/names.ts'
import { nearest } from '../config/nearest.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { EngineType } from '../config/schema/engine.ts'
import { engineOf } from './engine.ts'
import { findFollowed, NotFollowable, unreadable } from './find.ts'
import { movedServices } from './moved.ts'
import type { Routing } from './served.ts'

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
    const faults = isForbidden(problem) ? [unreadable(problem)] : problem instanceof NotFollowable ? problem.faults : []
    if (faults.length === 0) throw problem
    return faults.map((fault) => `${key}.engine: ${fault}`)
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
    const found = moved.find(({ services }) => services.some((each) => own.includes(each)))
    if (!found) return []
    const { engine, title, faults } = found
    const remedy =
      faults.length === 0
        ? `set \`engine: ${engine}\` to follow it, or delete it`
        : `delete it, or promote ${service} by it alone: a run cannot follow it, because it ${faults.join('; and it ')}`
    return [
      `${canaryKeyOf(config, service)}.service: ${engineOf(engine).title} moves the traffic of ${service} (${title}), and would ` +
        `undo the weights of this run; ${remedy}`,
    ]
  })
}
