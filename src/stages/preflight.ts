// Checks the config against the cluster before the run changes anything. Only reads, and reports all faults at once.
import { selectorFaults } from '../canary/workload/selectors.ts'
import { serviceFaults } from '../canary/workload/service-faults.ts'
import { ApiError, isForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { canariesOf, canaryKey, canaryKeyOf, releaseKeysOf, servicesOf } from '../config/names.ts'
import { nearest } from '../config/nearest.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import { ambientFault, disabledFault } from '../mesh/inject.ts'
import { whyWithoutSidecar } from '../mesh/sidecar.ts'
import { messageOf } from '../runtime/errors.ts'
import { contradictions } from '../policies/conflicts/contradictions.ts'
import { withoutExternalCanaries } from '../policies/weights/external-routes.ts'
import { desired, statedRules } from '../policies/desired.ts'
import { exposeClusterFaults } from '../policies/expose/checks.ts'
import { readLive, type LiveRoutes } from '../policies/live-routes.ts'
import { userManifests } from '../policies/manifests/manifests.ts'
import { isForSidecarsOnly } from '../policies/merge/merge-hosts.ts'
import { observabilityClusterFaults } from '../observability/checks.ts'
import { experimentClusterFaults } from '../experiments/safety.ts'
import { ownerOf, type Owner } from '../policies/owned-objects.ts'
import { splitOf, splitsTraffic } from '../policies/routes.ts'
import { servicePorts } from '../cluster/service-ports.ts'
import { queryFaults } from '../verify/telemetry/query-faults.ts'
import { withGeneratedRoutes } from '../engines/generate/engine-objects.ts'
import { generateFaults } from '../engines/generate/existing.ts'
import { overwriteFaults } from '../engines/overwrites.ts'
import { conflictFaults, followFaults } from '../engines/preflight.ts'
import { edgeClusterFaults } from './edge.ts'
import { bypassFaults } from './bypass-faults.ts'
import { checkMtlsChange } from './mtls.ts'

/** The namespace of the config; undefined if the stages do not need it. @throws ConfigError */
export async function requireNamespace(
  cluster: Cluster,
  { namespace }: Config,
  stages: readonly StageName[],
): Promise<KubeObject | undefined> {
  await requireAnswer(cluster)
  const onlyInstall = stages.every((stage) => ['cluster', 'install', 'retire'].includes(stage))
  if (onlyInstall) return undefined
  const object = await cluster.get<KubeObject>('Namespace', undefined, namespace)
  if (!object) throw new ConfigError(await describeMissingNamespace(cluster, namespace))
  return object
}

/** @throws ConfigError with one sentence for each fault. */
export async function preflight(cluster: Cluster, config: Config, stages: readonly StageName[]): Promise<void> {
  const object = await requireNamespace(cluster, config, stages)
  if (!object) return
  const live = await readLive(cluster, config.namespace)
  const owner = ownerOf(config)
  const compiled = withoutExternalCanaries(withGeneratedRoutes(config), live, owner)
  const plans = stages.includes('plan')
  const writes = stages.includes('policies')
  const compiles = writes || plans
  const promotes = stages.includes('promote')
  const checks: [boolean, () => Promise<string[]>][] = [
    [stages.includes('inject'), () => injectFaults(cluster, config, object)],
    [compiles || promotes, () => namedServiceFaults(cluster, config)],
    [compiles, () => contradictions(cluster, compiled, live, owner)],
    [compiles, () => mtlsFaults(cluster, compiled, live, owner, stages)],
    [compiles, () => exposeClusterFaults(cluster, config, stages)],
    [stages.includes('observe') || plans, () => observabilityClusterFaults(cluster, config, owner, promotes)],
    [stages.includes('edge') || plans, () => edgeClusterFaults({ cluster, config })],
    [stages.includes('verify'), () => queryFaults(cluster, config.observability)],
    [stages.includes('experiment'), () => experimentClusterFaults(cluster, config)],
    [promotes, () => canaryFaults(cluster, config, live, writes)],
    [compiles, () => generateFaults(cluster, config)],
    [promotes, () => followFaults(cluster, config, writes)],
    [compiles || promotes, () => conflictFaults(cluster, config, live)],
    [compiles, () => overwriteFaults(cluster, config, live)],
  ]
  const faults: string[] = []
  for (const [isNeeded, check] of checks) if (isNeeded) faults.push(...(await check()))
  // Where a version or the split is missing, its bypasses would only repeat that. A promotion looks for them itself.
  const promotesLater = promotes && (config.dryRun || canariesOf(config).length > 1)
  if (faults.length === 0 && (compiles || promotesLater))
    faults.push(...(await bypassFaults(cluster, config, live, compiles)))
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
}

async function injectFaults(cluster: Cluster, config: Config, namespace: KubeObject): Promise<string[]> {
  return [ambientFault(namespace) ?? [], disabledFault(namespace) ?? [], await workloadFaults(cluster, config)].flat()
}

async function mtlsFaults(
  cluster: Cluster,
  config: Config,
  live: LiveRoutes,
  owner: Owner,
  stages: readonly StageName[],
): Promise<string[]> {
  try {
    return (await checkMtlsChange(cluster, config, desired(config, live).objects, owner, stages)).faults
  } catch (error) {
    // The sources contradict each other, which is reported already.
    if (error instanceof ConfigError) return []
    throw error
  }
}

async function requireAnswer(cluster: Cluster): Promise<void> {
  try {
    await cluster.version()
  } catch (error) {
    if (isForbidden(error)) return refuseAnonymous(error)
    const remedy = (error instanceof ApiError ? error.remedy : undefined) ?? 'check the address in the kubeconfig'
    throw new ConfigError(`kubeconfig: ${messageOf(error)}; ${remedy}`)
  }
}

/** A server may keep its version secret, and still know the account. */
function refuseAnonymous({ message }: ApiError): void {
  if (!message.includes('system:anonymous')) return
  throw new ConfigError(
    `kubeconfig: the API server does not know who asks: ${message}; add a token or a client certificate to the ` +
      'user in the kubeconfig',
  )
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
    const workload = await cluster.get<Workload>(kind, namespace, name)
    if (workload) return optedOutFault(workload, namespace) ?? []
    const names = (await cluster.list<Workload>(kind, namespace)).map(({ metadata }) => metadata.name)
    return [
      `workloads: the ${kind} ${namespace}/${name} does not exist${nearest(name, names)}; ` +
        'deploy it first, or correct the name',
    ]
  })
  return (await Promise.all(faults)).flat()
}

function optedOutFault(workload: Workload, namespace: string): string | undefined {
  const why = whyWithoutSidecar(workload)
  if (why === undefined) return undefined
  return (
    `workloads: the ${workload.kind} ${namespace}/${workload.metadata.name} cannot get a sidecar: ${why}; change that, ` +
    'or leave it out of `workloads`'
  )
}

async function namedServiceFaults(cluster: Cluster, config: Config): Promise<string[]> {
  const services = await cluster.list<Service>('Service', config.namespace)
  return Object.entries(servicesOf(config)).flatMap(([name, { port }]) => {
    const key = config.services?.[name] ? `services.${name}` : `${canaryKeyOf(config, name)}.service`
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

function serviceFaultsOf(object: Service, config: Config, plan: CanaryConfig, live: LiveRoutes): string[] {
  const atGateway =
    config.expose?.[plan.service] !== undefined ||
    live.virtualServices.some((each) => !isForSidecarsOnly(each) && splitsTraffic(each, splitOf(config, plan)))
  return serviceFaults(object, plan, atGateway)
}

async function canaryFaults(
  cluster: Cluster,
  config: Config,
  live: LiveRoutes,
  runsPolicies: boolean,
): Promise<string[]> {
  const { namespace } = config
  const perCanary = canariesOf(config).map(async (plan, i) => {
    const key = canaryKey(config, i)
    const { service, stable, canary } = plan
    const object = await cluster.get<Service>('Service', namespace, service)
    if (!object) return []
    const ofService = serviceFaultsOf(object, config, plan, live).map((fault) => `${key}.service: ${fault}`)
    // The pods of a canary that the run creates do not exist yet, and its plan has checked the rest.
    if (releaseKeysOf(plan).length > 0) return ofService
    const rules = runsPolicies ? statedRules(userManifests(config), live) : live.destinationRules
    const faults = [...ofService, ...(await selectorFaults(cluster, config, plan, key, rules))]
    const splits =
      stable.by === 'service' || live.virtualServices.some((each) => splitsTraffic(each, splitOf(config, plan)))
    if (runsPolicies || splits) return faults
    return [
      ...faults,
      `${key}.service: no route of a VirtualService in ${namespace} splits ${service} between ${stable.name} ` +
        `and ${canary.name}; run the stage policies as well`,
    ]
  })
  return (await Promise.all(perCanary)).flat()
}
