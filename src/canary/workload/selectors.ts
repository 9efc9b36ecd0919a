// Finds the pods of stable and canary: those behind the Service that callers use, and of them those with the labels of
// the subset.
import type { Cluster } from '../../cluster/client.ts'
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import { matches, withoutIstiodLabels, selectorText } from '../../cluster/labels.ts'
import type { DestinationRule, Pod, Service, Workload } from '../../cluster/objects.ts'
import { servicesOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import type { Version } from '../../config/schema/canary.ts'
import { messageOf } from '../../runtime/errors.ts'
import { portFault } from './service-faults.ts'
import { statedLabels } from '../../policies/subsets.ts'

export type Labels = Readonly<Record<string, string>>
export type VersionSelectors = { stable: Labels; canary: Labels }

/** No pod is known to be of a version. `isEmpty`: none can be, because the Service and the subset exclude each other. */
export class SelectorFault extends Error {
  override name = 'SelectorFault'
  readonly isEmpty: boolean
  constructor(message: string, isEmpty = false) {
    super(message)
    this.isEmpty = isEmpty
  }
}

/** The labels of the pods that get the requests of each version, or why there can be none. */
export type ReadSelectors = Record<keyof VersionSelectors, Labels | SelectorFault>

/**
 * `rules`: the DestinationRules that will be in force; default: those in the cluster.
 * @throws SelectorFault when a Service does not exist or no pod behind it can be of the version; ApiError.
 */
export async function selectorsOf(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  rules?: readonly DestinationRule[],
): Promise<VersionSelectors> {
  const { stable, canary } = await readSelectors(cluster, config, plan, rules)
  if (stable instanceof SelectorFault) throw stable
  if (canary instanceof SelectorFault) throw canary
  const fault = overlapFault(plan, { stable, canary })
  if (fault !== undefined) throw new SelectorFault(fault)
  return { stable, canary }
}

/** `rules`: see `selectorsOf`. */
export async function readSelectors(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  rules?: readonly DestinationRule[],
): Promise<ReadSelectors> {
  const { namespace } = config
  const { stable, canary } = plan
  const names = [stable, canary].map(({ by, name }) => (by === 'service' ? name : plan.service))
  const [inForce, ...services] = await Promise.all([
    rules ?? liveRules(cluster, config, plan),
    ...[...new Set(names)].map((name) => cluster.get<Service>('Service', namespace, name)),
  ])
  const labels = (version: Version, name: string, service: Service | undefined) =>
    versionLabels(config, plan, version, `${namespace}/${name}`, service, inForce)
  return {
    stable: labels(stable, names[0]!, services[0]),
    canary: labels(canary, names[1]!, services.at(-1)),
  }
}

async function liveRules(
  cluster: Cluster,
  { namespace }: Config,
  { stable }: CanaryConfig,
): Promise<DestinationRule[]> {
  if (stable.by === 'service') return []
  return cluster.list<DestinationRule>('DestinationRule', namespace).catch(emptyWhenUnread)
}

function versionLabels(
  config: Config,
  { service: host }: CanaryConfig,
  { by, name }: Version,
  title: string,
  service: Service | undefined,
  rules: readonly DestinationRule[],
): Labels | SelectorFault {
  const selector = service?.spec.selector
  if (!selector) {
    const problem = service ? 'has no selector' : 'does not exist'
    return new SelectorFault(
      `the Service ${title} ${problem}; a canary needs a Service with a selector in front of both versions`,
    )
  }
  if (by === 'service') return selector
  const inConfig = servicesOf(config)[host]?.subsets?.[name] ?? { version: name }
  const labels = withoutIstiodLabels(statedLabels(rules, host, config.namespace, name) ?? inConfig)
  const other = Object.keys(labels).find((key) => selector[key] !== undefined && selector[key] !== labels[key])
  if (other === undefined) return { ...selector, ...labels }
  return new SelectorFault(
    `the Service ${title} selects only pods with ${other}=${selector[other]}, but the subset ${name} has the label ` +
      `${other}=${labels[other]}: none of its pods can be behind the Service, so its requests get a 503; ` +
      `remove ${other} from the selector of the Service, or correct the labels of the subset`,
    true,
  )
}

/** When every pod of one version is also a pod of the other, a weight cannot tell them apart. */
function overlapFault(plan: CanaryConfig, selectors: VersionSelectors): string | undefined {
  const other = { stable: 'canary', canary: 'stable' } as const
  const wide = (['stable', 'canary'] as const).find((role) => matches(selectors[role], selectors[other[role]]))
  if (wide === undefined) return undefined
  const { by, name } = plan[wide]
  return (
    `the ${by} ${name} (${selectorText(selectors[wide])}) also selects the pods of ${plan[other[wide]].name}, so the ` +
    'weights do not decide which version serves; give the versions a label with two different values, and select by ' +
    'it (labels that istiod adds, such as the zone, are not on the pods)'
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
  const faultOf = async (role: keyof VersionSelectors) => {
    if (!labels.some((each) => matches(selectors[role], each)))
      return selectsNothing(plan[role], selectors[role], namespace)
    const { by, name } = plan[role]
    const service = await cluster.get<Service>('Service', namespace, by === 'service' ? name : plan.service)
    const own = pods.filter(({ metadata }) => matches(selectors[role], metadata.labels))
    const fault = service && portFault(service, own)
    return fault && `the pods of ${name} (${selectorText(selectors[role])}): ${fault}`
  }
  const faults = await Promise.all(
    (['stable', 'canary'] as const).map(async (role) => ({ role, fault: await faultOf(role) })),
  )
  return faults.flatMap(({ role, fault }) => (fault === undefined ? [] : [`${key}.${role}: ${fault}`]))
}

function selectsNothing({ by, name }: Version, labels: Labels, namespace: string): string {
  return (
    `the ${by} ${name} selects no pod: none in ${namespace} has the labels ${selectorText(labels)}; ` +
    `deploy it first, or correct the labels of the ${by}`
  )
}
