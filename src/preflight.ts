// What can be known to be wrong before anything is touched: read-only, all faults at once.
import type { Cluster } from './cluster/client.ts'
import { matches } from './cluster/labels.ts'
import type { KubeObject, Pod, Service, Workload } from './cluster/objects.ts'
import { ConfigError } from './config/error.ts'
import type { Config, StageName } from './config/schema.ts'
import { orphans, readLive, strangers, type Live } from './policies/apply.ts'
import { servicesOf } from './policies/compile/index.ts'
import { policiesOnly } from './policies/elsewhere.ts'
import { ownerOf } from './policies/prune.ts'
import { routesTo, weightsOf } from './policies/routes.ts'
import { nearest } from './config/nearest.ts'

/** @throws ConfigError with one sentence for each fault. Answers the mesh's objects as they are now. */
export async function preflight(cluster: Cluster, config: Config, stages: readonly StageName[]): Promise<Live> {
  const { namespace } = config
  await answering(cluster)
  const onlyInstall = stages.every((stage) => stage === 'install')
  if (onlyInstall) return { virtualServices: [], destinationRules: [] }
  if (!(await cluster.get<KubeObject>('Namespace', undefined, namespace))) throw new ConfigError(await noNamespace(cluster, namespace))

  const live = await readLive(cluster, namespace)
  const writes = stages.includes('policies') || stages.includes('plan')
  const own = policiesOnly(config, live, ownerOf(config.name, namespace))
  const faults = [
    ...(stages.includes('inject') ? await workloadFaults(cluster, config) : []),
    ...(writes || stages.includes('promote') ? await serviceFaults(cluster, config) : []),
    ...(writes ? [...strangers(own, live), ...orphans(own, live)] : []),
    ...(stages.includes('promote') ? await canaryFaults(cluster, config, live, stages.includes('policies')) : []),
  ]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return live
}

async function answering(cluster: Cluster): Promise<void> {
  try {
    await cluster.version()
  } catch (error) {
    throw new ConfigError(`kubeconfig: ${error instanceof Error ? error.message : String(error)}; check the address in the kubeconfig, the network of the runner, and that the cluster is up`)
  }
}

async function noNamespace(cluster: Cluster, namespace: string): Promise<string> {
  const names = (await cluster.list<KubeObject>('Namespace').catch(() => [])).map(({ metadata }) => metadata.name)
  return `namespace: ${namespace} does not exist in the cluster${nearest(namespace, names)}; create it and deploy the application first`
}

async function workloadFaults(cluster: Cluster, { namespace, workloads }: Config): Promise<string[]> {
  if (!workloads || workloads === 'all') return []
  const faults = workloads.map(async ({ kind, name }) => {
    if (await cluster.get<Workload>(kind, namespace, name)) return []
    const names = (await cluster.list<Workload>(kind, namespace)).map(({ metadata }) => metadata.name)
    return [`workloads: the ${kind} ${namespace}/${name} does not exist${nearest(name, names)}; deploy it first, or correct the name`]
  })
  return (await Promise.all(faults)).flat()
}

async function serviceFaults(cluster: Cluster, config: Config): Promise<string[]> {
  const services = await cluster.list<Service>('Service', config.namespace)
  return Object.entries(servicesOf(config)).flatMap(([name, { port }]) => {
    const key = config.services?.[name] ? `services.${name}` : 'canary.service'
    const service = services.find(({ metadata }) => metadata.name === name)
    if (!service) return [`${key}: the Service ${config.namespace}/${name} does not exist${nearest(name, services.map(({ metadata }) => metadata.name))}; deploy it first, or correct the name`]
    const ports = service.spec.ports.map((each) => each.port)
    if (port === undefined || ports.includes(port)) return []
    return [`services.${name}.port: the Service ${config.namespace}/${name} has no port ${port}; it has ${ports.join(', ')}`]
  })
}

async function canaryFaults(cluster: Cluster, config: Config, live: Live, policiesFirst: boolean): Promise<string[]> {
  const { service, stable, canary } = config.canary!
  const { namespace } = config
  const object = await cluster.get<Service>('Service', namespace, service)
  if (!object) return []
  const [pods, deployments] = await Promise.all([cluster.list<Pod>('Pod', namespace), cluster.list<Workload>('Deployment', namespace)])
  const labels = [...pods.map(({ metadata }) => metadata.labels), ...deployments.map(({ spec }) => spec.template.metadata?.labels)]
  const subsets = servicesOf(config)[service]!.subsets!
  const empty = [stable, canary].filter((subset) => !labels.some((each) => matches({ ...object.spec.selector, ...subsets[subset] }, each)))
  const faults = empty.map((subset) => {
    const selector = Object.entries({ ...object.spec.selector, ...subsets[subset] }).map(([key, value]) => `${key}=${value}`).join(',')
    return `canary.${subset === canary ? 'canary' : 'stable'}: the subset ${subset} selects no pod: none in ${namespace} has the labels ${selector}; deploy it first, or correct the labels of the subset`
  })
  const splits = live.virtualServices.some((each) => routesTo(each, service, namespace) && weightsOf(each, service, namespace, [stable, canary]))
  if (!policiesFirst && !splits) faults.push(`canary.service: no route of a VirtualService in ${namespace} splits ${service} between ${stable} and ${canary}; run the stage policies as well`)
  return faults
}
