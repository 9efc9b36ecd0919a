// Which pods are stable and which are the canary: by the labels of their subsets, or by the selectors of their Services.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { Pod, Service, Workload } from '../../cluster/objects.ts'
import { servicesOf } from '../../config/names.ts'
import type { CanaryConfig, Config, Version } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'

export type Labels = Readonly<Record<string, string>>
export type VersionSelectors = { stable: Labels; canary: Labels }

/** @throws Error when a Service is missing or selects nothing. */
export async function selectorsOf(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<VersionSelectors> {
  const { namespace } = config
  const subsets = servicesOf(config)[plan.service]?.subsets ?? {}
  const selectorOf = async (service: string): Promise<Labels> => {
    const selector = (await cluster.get<Service>('Service', namespace, service))?.spec.selector
    if (!selector)
      throw new Error(
        `the Service ${namespace}/${service} is not there, or has no selector; a canary needs both versions behind a Service with one`,
      )
    return selector
  }
  const labelsOf = async ({ by, name }: Version): Promise<Labels> =>
    by === 'service'
      ? await selectorOf(name)
      : { ...(await selectorOf(plan.service)), ...(subsets[name] ?? { version: name }) }
  return { stable: await labelsOf(plan.stable), canary: await labelsOf(plan.canary) }
}

/** One sentence for each version that selects no pod, nor the template of a Deployment; `key` is where it stands in the config. */
export async function selectorFaults(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  key: string,
): Promise<string[]> {
  const { namespace } = config
  const groups = await selectorsOf(cluster, config, plan).catch(messageOf)
  if (typeof groups === 'string') return [`${key}: ${groups}`]
  const [pods, deployments] = await Promise.all([
    cluster.list<Pod>('Pod', namespace),
    cluster.list<Workload>('Deployment', namespace),
  ])
  const labels = [
    ...pods.map(({ metadata }) => metadata.labels),
    ...deployments.map(({ spec }) => spec.template.metadata?.labels),
  ]
  return (['stable', 'canary'] as const)
    .filter((role) => !labels.some((each) => matches(groups[role], each)))
    .map((role) => {
      const selector = Object.entries(groups[role])
        .map(([name, value]) => `${name}=${value}`)
        .join(',')
      return `${key}.${role}: the ${plan[role].by} ${plan[role].name} selects no pod: none in ${namespace} has the labels ${selector}; deploy it first, or correct the labels of the ${plan[role].by}`
    })
}
