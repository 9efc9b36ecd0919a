// Finds the pods of stable and canary: those behind the Service that callers use, and of them those with the labels of
// the subset.
import type { Cluster } from '../../cluster/client.ts'
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import { matches, podLabels, selectorText } from '../../cluster/labels.ts'
import type { DestinationRule, Pod, Service, Workload } from '../../cluster/objects.ts'
import { servicesOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import type { Version } from '../../config/schema/canary.ts'
import { messageOf } from '../../runtime/errors.ts'
import { statedLabels } from '../../policies/subsets.ts'

export type Labels = Readonly<Record<string, string>>
export type VersionSelectors = { stable: Labels; canary: Labels }

/** No pod can get requests of this version, because the Service or the labels of the subset exclude it. */
export class SelectorFault extends Error {
  override name = 'SelectorFault'
}

/**
 * `rules`: the DestinationRules that will be in force; default: those in the cluster.
 * @throws SelectorFault when a Service does not exist or selects no pod of the version; ApiError.
 */
export async function selectorsOf(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  rules?: readonly DestinationRule[],
): Promise<VersionSelectors> {
  const inForce = rules ?? (await liveRules(cluster, config, plan))
  const { stable, canary } = plan
  const selectors = {
    stable: await selectorOf(cluster, config, plan, stable, inForce),
    canary: await selectorOf(cluster, config, plan, canary, inForce),
  }
  const fault = overlapFault(plan, selectors)
  if (fault !== undefined) throw new SelectorFault(fault)
  return selectors
}

export async function liveRules(
  cluster: Cluster,
  { namespace }: Config,
  { stable }: CanaryConfig,
): Promise<DestinationRule[]> {
  return stable.by === 'service'
    ? []
    : cluster.list<DestinationRule>('DestinationRule', namespace).catch(emptyWhenUnread)
}

/** The labels of the pods that get the requests of one version. Throws like `selectorsOf`. */
export async function selectorOf(
  cluster: Cluster,
  config: Config,
  { service }: CanaryConfig,
  { by, name }: Version,
  rules: readonly DestinationRule[],
): Promise<Labels> {
  const { namespace } = config
  if (by === 'service') return serviceSelector(cluster, namespace, name)
  const selector = await serviceSelector(cluster, namespace, service)
  const inConfig = servicesOf(config)[service]?.subsets?.[name] ?? { version: name }
  const labels = podLabels(statedLabels(rules, service, namespace, name) ?? inConfig)
  const other = Object.keys(labels).find((key) => selector[key] !== undefined && selector[key] !== labels[key])
  if (other === undefined) return { ...selector, ...labels }
  throw new SelectorFault(
    `the Service ${namespace}/${service} selects only pods with ${other}=${selector[other]}, but the subset ${name} ` +
      `has the label ${other}=${labels[other]}: none of its pods can be behind the Service, so its requests get a 503; ` +
      `remove ${other} from the selector of the Service`,
  )
}

async function serviceSelector(cluster: Cluster, namespace: string, name: string): Promise<Labels> {
  const service = await cluster.get<Service>('Service', namespace, name)
  if (service?.spec.selector) return service.spec.selector
  const problem = service ? 'has no selector' : 'does not exist'
  throw new SelectorFault(
    `the Service ${namespace}/${name} ${problem}; a canary needs a Service with a selector in front of both versions`,
  )
}

/** When every pod of one version is also a pod of the other, a weight cannot tell them apart. */
function overlapFault({ stable, canary }: CanaryConfig, selectors: VersionSelectors): string | undefined {
  const within = (a: Labels, b: Labels) => matches(b, a)
  const [wide, narrow] = within(selectors.canary, selectors.stable)
    ? [stable, canary]
    : within(selectors.stable, selectors.canary)
      ? [canary, stable]
      : []
  if (!wide || !narrow) return undefined
  const labels = wide === stable ? selectors.stable : selectors.canary
  return (
    `the ${wide.by} ${wide.name} (${selectorText(labels)}) also selects the pods of ${narrow.name}, so the weights do ` +
    'not decide which version serves; give the versions a label with two different values, and select by it'
  )
}

/**
 * One sentence for each version that no pod can serve, or whose labels match neither a pod nor the template of a
 * Deployment. `key`: the canary's key in the config; `rules`: see `selectorsOf`.
 */
export async function selectorFaults(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  key: string,
  rules?: readonly DestinationRule[],
): Promise<string[]> {
  const { namespace } = config
  const selectors = await selectorsOf(cluster, config, plan, rules).catch(messageOf)
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
  return (
    `the ${by} ${name} selects no pod: none in ${namespace} has the labels ${selectorText(labels)}; ` +
    `deploy it first, or correct the labels of the ${by}`
  )
}
