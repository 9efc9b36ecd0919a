// Finds routes that would begin to send requests to a subset without pods: each of them would get a 503. Pure.
import { podsBehind, selectorText } from '../../cluster/labels.ts'
import { titleOf, type DestinationRule, type Pod, type Service, type VirtualService } from '../../cluster/objects.ts'
import { hostOf } from '../compile/names.ts'
import type { PlannedChange } from '../plan.ts'
import { fullHost } from '../routes.ts'
import { statedLabels } from '../subsets.ts'

type Namespace = { name: string; services: Service[]; pods: Pod[] }

/**
 * One sentence for each. A Service without any pod does not count: its application is not deployed yet. Neither does a
 * subset that gets requests already.
 */
export function emptySplits(planned: readonly PlannedChange[], namespace: Namespace): string[] {
  const remaining = planned.filter(({ action }) => action !== 'delete').map(({ object }) => object)
  const rules = remaining.filter((object): object is DestinationRule => object.kind === 'DestinationRule')
  const sentences = planned.flatMap(({ action, object, before }) => {
    if (object.kind !== 'VirtualService' || (action !== 'create' && action !== 'change')) return []
    const earlier = targetsOf(before as VirtualService | undefined)
    return targetsOf(object as VirtualService)
      .filter((target) => !earlier.some((each) => each.host === target.host && each.subset === target.subset))
      .flatMap((target) => emptyTarget(target, rules, namespace) ?? [])
      .map((fault) => `policies: the ${titleOf(object)} would send requests to ${fault}`)
  })
  return [...new Set(sentences)]
}

type Target = { host: string; subset: string }

/** The subsets that get some of the requests. */
function targetsOf(object: VirtualService | undefined): Target[] {
  const routes = (['http', 'tcp', 'tls'] as const).flatMap((section) => object?.spec[section] ?? [])
  return routes.flatMap(({ route = [] }) =>
    route.flatMap(({ destination: { host, subset }, weight = route.length === 1 ? 100 : 0 }) =>
      subset !== undefined && weight > 0 ? [{ host: fullHost(host, object!.metadata.namespace ?? ''), subset }] : [],
    ),
  )
}

function emptyTarget({ host, subset }: Target, rules: DestinationRule[], { name, services, pods }: Namespace) {
  const service = services.find(({ metadata }) => hostOf(metadata.name, name) === host)
  const labels = service && statedLabels(rules, service.metadata.name, name, subset)
  if (!service || !labels) return undefined
  if (podsBehind(service, pods).length === 0 || podsBehind(service, pods, labels).length > 0) return undefined
  return (
    `the subset ${subset}, and no pod behind the Service ${name}/${service.metadata.name} has its labels ` +
    `(${selectorText(labels)}): they would get a 503; deploy it first, correct the labels of the subset or the ` +
    'selector of the Service, or give it the weight 0'
  )
}
