// Finds Services besides the canary's own by which callers reach the pods of both versions. Pure.
import { matches } from '../../cluster/labels.ts'
import { titleOf, type DestinationRule, type Pod, type Service } from '../../cluster/objects.ts'
import { servicePorts, targetPort } from '../../cluster/service-ports.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { fullHost, type Split } from '../../policies/routes.ts'
import type { Labels, VersionSelectors } from '../workload/selectors.ts'

type ServiceSpec = Service['spec'] & { clusterIP?: string; type?: string }

/**
 * The Services whose selectors choose pods of both versions, at a port that the canary's Service has too. A canary
 * between two Services may have a third one for both.
 */
export function otherServices(services: Service[], pods: Pod[], split: Split, selectors: VersionSelectors): Service[] {
  const { namespace, service, stable, canary } = split
  const own = stable.by === 'service' ? [stable.name, canary.name] : [service]
  const main = services.find(({ metadata }) => metadata.name === service)
  const targets = new Set(main ? targetPorts(main, pods) : [])
  return services.filter((each) => {
    const { selector } = each.spec
    if (!selector || Object.keys(selector).length === 0 || own.includes(each.metadata.name)) return false
    const isSamePort = targetPorts(each, pods).some((port) => targets.has(port))
    return isSamePort && chooseBoth(selector, pods, namespace, selectors)
  })
}

/** The subsets of the service, besides those of the versions, whose labels choose pods of both. */
export function sharedSubsets(
  rules: DestinationRule[],
  pods: Pod[],
  { service, namespace, stable, canary }: Split,
  selectors: VersionSelectors,
): string[] {
  const versions = [stable, canary].filter(({ by }) => by === 'subset').map(({ name }) => name)
  return rules
    .filter(({ spec }) => fullHost(spec.host, namespace) === hostOf(service, namespace))
    .flatMap(({ spec }) => spec.subsets ?? [])
    .filter(({ name, labels = {} }) => !versions.includes(name) && chooseBoth(labels, pods, namespace, selectors))
    .map(({ name }) => name)
}

/** True if the labels choose pods of both versions. */
function chooseBoth(labels: Labels, pods: Pod[], namespace: string, selectors: VersionSelectors): boolean {
  const chosen = pods.filter(({ metadata }) => metadata.namespace === namespace && matches(labels, metadata.labels))
  const isCanary = ({ metadata }: Pod) => matches(selectors.canary, metadata.labels)
  const isStable = (pod: Pod) => matches(selectors.stable, pod.metadata.labels) && !isCanary(pod)
  return chosen.some(isCanary) && chosen.some(isStable)
}

/** The numbers of the pods' ports; a name that no container has stays a name. */
function targetPorts(service: Service, pods: Pod[]): string[] {
  const selected = pods.filter(({ metadata }) => matches(service.spec.selector ?? {}, metadata.labels))
  return servicePorts(service).map((each) => {
    const numbers = selected.map((pod) => targetPort(pod, each))
    return String(numbers.find((number) => number !== undefined) ?? each.targetPort ?? each.port)
  })
}

/** StatefulSets need a headless Service, and scrapers one for metrics: users rarely call them. */
export function isSuspectOnly(service: Service): boolean {
  const isForMetrics = servicePorts(service).every(({ name = '' }) => /metrics|prometheus/.test(name))
  return (service.spec as ServiceSpec).clusterIP === 'None' || isForMetrics
}

export function serviceFault(service: Service, { stable, canary, service: main }: Split): string {
  return (
    `the ${titleOf(service)} selects pods of both ${stable.name} and ${canary.name}, and no route splits its traffic, ` +
    `so its callers reach ${canary.name} whatever its weight is; let its selector choose ${stable.name} only, delete ` +
    `it, or write a VirtualService for its host that splits like that of ${main}`
  )
}

/** Ways into the canary's own Service that no route of the mesh sees. */
export function serviceSuspects(service: Service | undefined): string[] {
  const { type } = (service?.spec ?? {}) as Partial<ServiceSpec>
  if (!service || (type !== 'LoadBalancer' && type !== 'NodePort')) return []
  return [`the ${titleOf(service)} has the type ${type}, and requests from outside the mesh come past its routes`]
}
