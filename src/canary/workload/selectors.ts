// Which pods are stable and which are the canary: by the labels of the subsets, or by the selectors of the Services.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod, Service, Workload } from '../../cluster/objects.ts'
import { servicesOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import type { Version } from '../../config/schema/canary.ts'
import { messageOf } from '../../runtime/errors.ts'

export type Labels = Readonly<Record<string, string>>
export type VersionSelectors = { stable: Labels; canary: Labels }

/** @throws Error when a Service does not exist or has no selector. */
export async function selectorsOf(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<VersionSelectors> {
  const { namespace } = config
  const subsets = servicesOf(config)[plan.service]?.subsets ?? {}
  const versionLabels = async ({ by, name }: Version): Promise<Labels> => {
    if (by === 'service') return serviceSelector(cluster, namespace, name)
    return { ...(await serviceSelector(cluster, namespace, plan.service)), ...(subsets[name] ?? { version: name }) }
  }
  return { stable: await versionLabels(plan.stable), canary: await versionLabels(plan.canary) }
}

async function serviceSelector(cluster: Cluster, namespace: string, name: string): Promise<Labels> {
  const service = await cluster.get<Service>('Service', namespace, name)
  if (service?.spec.selector) return service.spec.selector
  const problem = service ? 'has no selector' : 'does not exist'
  throw new Error(
    `the Service ${namespace}/${name} ${problem}; a canary needs a Service with a selector in front of both versions`,
  )
}

/**
 * One sentence for each version whose labels match neither a pod nor the template of a Deployment. `key`: where the
 * canary stands in the config.
 */
export async function selectorFaults(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  key: string,
): Promise<string[]> {
  const { namespace } = config
  const selectors = await selectorsOf(cluster, config, plan).catch(messageOf)
  if (typeof selectors === 'string') return [`${key}: ${selectors}`]
  const [pods, deployments] = await Promise.all([
    cluster.list<Pod>('Pod', namespace),
    cluster.list<Workload>('Deployment', namespace),
  ])
  const labels = [
    ...pods.map(({ metadata }) => metadata.labels),
    ...deployments.map(({ spec }) => spec.template.metadata?.labels),
  ]
  return (['stable', 'canary'] as const)
    .filter((role) => !labels.some((each) => matches(selectors[role], each)))
    .map((role) => `${key}.${role}: ${selectsNothing(plan[role], selectors[role], namespace)}`)
}

function selectsNothing({ by, name }: Version, labels: Labels, namespace: string): string {
  const selector = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  return (
    `the ${by} ${name} selects no pod: none in ${namespace} has the labels ${selector.join(',')}; ` +
    `deploy it first, or correct the labels of the ${by}`
  )
}
