// Checks the config against the cluster before the run changes anything. Only reads, and reports all faults at once.
import { selectorFaults } from '../canary/workload/selectors.ts'
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { canariesOf, servicesOf } from '../config/names.ts'
import { nearest } from '../config/nearest.ts'
import type { Config } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import { ambientFault } from '../mesh/inject.ts'
import { messageOf } from '../runtime/errors.ts'
import { contradictions } from '../policies/contradictions.ts'
import { withoutExternalCanaries } from '../policies/external-routes.ts'
import { exposeClusterFaults } from '../policies/expose-checks.ts'
import { readLive, type LiveRoutes } from '../policies/live.ts'
import { ownerOf } from '../policies/prune.ts'
import { splitsIn } from '../policies/routes.ts'
import { servicePorts } from '../cluster/service-ports.ts'

/** @throws ConfigError with one sentence for each fault. */
export async function preflight(cluster: Cluster, config: Config, stages: readonly StageName[]): Promise<void> {
  const { namespace } = config
  await requireAnswer(cluster)
  const onlyInstall = stages.every((stage) => ['cluster', 'install', 'retire'].includes(stage))
  if (onlyInstall) return
  const object = await cluster.get<KubeObject>('Namespace', undefined, namespace)
  if (!object) throw new ConfigError(await describeMissingNamespace(cluster, namespace))

  const live = await readLive(cluster, namespace)
  const writes = stages.includes('policies') || stages.includes('plan')
  const owner = ownerOf(config)
  const faults = [
    ...(stages.includes('inject') ? [ambientFault(object) ?? [], await workloadFaults(cluster, config)].flat() : []),
    ...(writes || stages.includes('promote') ? await serviceFaults(cluster, config) : []),
    ...(writes
      ? [
          ...(await contradictions(cluster, withoutExternalCanaries(config, live, owner), live, owner)),
          ...(await exposeClusterFaults(cluster, config, stages)),
        ]
      : []),
    ...(stages.includes('promote') ? await canaryFaults(cluster, config, live, stages.includes('policies')) : []),
  ]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
}

async function requireAnswer(cluster: Cluster): Promise<void> {
  try {
    await cluster.version()
  } catch (error) {
    throw new ConfigError(
      `kubeconfig: ${messageOf(error)}; check the address in the kubeconfig, the network of the runner, ` +
        'and that the cluster is up',
    )
  }
}

async function describeMissingNamespace(cluster: Cluster, namespace: string): Promise<string> {
  const names = (await cluster.list<KubeObject>('Namespace').catch(() => [])).map(({ metadata }) => metadata.name)
  return (
    `namespace: ${namespace} does not exist in the cluster${nearest(namespace, names)}; ` +
    'create it and deploy the application first'
  )
}

async function workloadFaults(cluster: Cluster, { namespace, workloads }: Config): Promise<string[]> {
  if (!workloads || workloads === 'all') return []
  const faults = workloads.map(async ({ kind, name }) => {
    if (await cluster.get<Workload>(kind, namespace, name)) return []
    const names = (await cluster.list<Workload>(kind, namespace)).map(({ metadata }) => metadata.name)
    return [
      `workloads: the ${kind} ${namespace}/${name} does not exist${nearest(name, names)}; ` +
        'deploy it first, or correct the name',
    ]
  })
  return (await Promise.all(faults)).flat()
}

async function serviceFaults(cluster: Cluster, config: Config): Promise<string[]> {
  const services = await cluster.list<Service>('Service', config.namespace)
  return Object.entries(servicesOf(config)).flatMap(([name, { port }]) => {
    const key = config.services?.[name] ? `services.${name}` : 'canary.service'
    const service = services.find(({ metadata }) => metadata.name === name)
    if (!service)
      return [
        `${key}: the Service ${config.namespace}/${name} does not exist${nearest(
          name,
          services.map(({ metadata }) => metadata.name),
        )}; deploy it first, or correct the name`,
      ]
    const ports = servicePorts(service).map((each) => each.port)
    if (port === undefined || ports.includes(port)) return []
    return [
      `services.${name}.port: the Service ${config.namespace}/${name} has no port ${port}; ` +
        `it has ${ports.join(', ') || 'none'}`,
    ]
  })
}

async function canaryFaults(
  cluster: Cluster,
  config: Config,
  live: LiveRoutes,
  runsPolicies: boolean,
): Promise<string[]> {
  const { namespace } = config
  const perCanary = canariesOf(config).map(async (plan, i) => {
    const key = config.canary ? 'canary' : `canaries.${i}`
    const { service, stable, canary } = plan
    if (!(await cluster.get<Service>('Service', namespace, service))) return []
    const faults = await selectorFaults(cluster, config, plan, key)
    const splits =
      stable.by === 'service' ||
      live.virtualServices.some((each) => splitsIn(each, { namespace, service, stable, canary }).length > 0)
    if (runsPolicies || splits) return faults
    return [
      ...faults,
      `${key}.service: no route of a VirtualService in ${namespace} splits ${service} between ${stable.name} ` +
        `and ${canary.name}; run the stage policies as well`,
    ]
  })
  return (await Promise.all(perCanary)).flat()
}
