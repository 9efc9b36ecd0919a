// Finds callers whose Sidecar hides the canary's service: they know no route of it, and reach all its pods. Pure.
import { oldestFirst } from '../../cluster/age.ts'
import { matches } from '../../cluster/labels.ts'
import { systemNamespace, titleOf, type KubeObject, type Pod } from '../../cluster/objects.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { hostOf } from '../../policies/compile/names.ts'
import { matchesHost, type Split } from '../../policies/routes.ts'
import type { VersionSelectors } from '../workload/selectors.ts'

export type Sidecar = KubeObject & {
  spec?: { workloadSelector?: { labels?: Record<string, string> }; egress?: { hosts?: string[] }[] }
}

/** `clients`: namespaces whose pods call the service. `hasGateway`: a gateway's route splits its traffic, too. */
export type CallersScope = { clients: readonly string[]; selectors: VersionSelectors; hasGateway: boolean }

/** `faults`: no known caller of a namespace sees the service. `suspects`: some pods do not, and may not call it. */
export function hiddenCallers(
  sidecars: readonly Sidecar[],
  pods: readonly Pod[],
  split: Split,
  { clients, selectors, hasGateway }: CallersScope,
): { faults: string[]; suspects: string[] } {
  const [faults, suspects]: [string[], string[]] = [[], []]
  for (const namespace of new Set([split.namespace, ...clients])) {
    const callers = pods.filter(
      (pod) =>
        pod.metadata.namespace === namespace && hasRunningSidecar(pod) && !isOfVersion(pod, split.namespace, selectors),
    )
    const hiding = callers.map((pod) => hidingSidecar(sidecars, pod, split))
    const objects = [...new Set(hiding.flatMap((each) => each ?? []))].map(titleOf)
    if (objects.length === 0) continue
    const isForAll = hiding.every((each) => each !== undefined)
    const isKnownCaller = clients.includes(namespace) || (clients.length === 0 && !hasGateway)
    const sentence = `the ${objects.join(', ')} hides ${split.service}`
    if (isForAll && isKnownCaller) faults.push(`${sentence} ${effect(namespace, split)}`)
    else suspects.push(`${sentence} from pods of ${namespace}`)
  }
  return { faults, suspects }
}

function isOfVersion({ metadata }: Pod, namespace: string, { stable, canary }: VersionSelectors): boolean {
  return metadata.namespace === namespace && [stable, canary].some((labels) => matches(labels, metadata.labels))
}

function effect(namespace: string, { service, namespace: own }: Split): string {
  return (
    `from its callers in ${namespace}, so they know no split and reach the pods of both versions; ` +
    `add ${own === namespace ? '.' : own}/${hostOf(service, own)} to \`egress.hosts\``
  )
}

/** The Sidecar that applies to the pod, if it hides the service. */
function hidingSidecar(sidecars: readonly Sidecar[], { metadata }: Pod, split: Split): Sidecar | undefined {
  const own = sidecars.filter((each) => each.metadata.namespace === metadata.namespace)
  const labels = ({ spec }: Sidecar) => spec?.workloadSelector?.labels
  const applied =
    own.find((each) => labels(each) && matches(labels(each)!, metadata.labels)) ??
    oldestFirst(own.filter((each) => !labels(each)))[0] ??
    oldestFirst(sidecars.filter((each) => each.metadata.namespace === systemNamespace && !labels(each)))[0]
  return applied && hides(applied, split) ? applied : undefined
}

function hides({ metadata, spec }: Sidecar, { service, namespace }: Split): boolean {
  const hosts = (spec?.egress ?? []).flatMap((listener) => listener.hosts ?? [])
  if (hosts.length === 0) return false
  return !hosts.some((each) => {
    const [place = '', host = ''] = each.split('/')
    const isPlace = place === '*' || place === namespace || (place === '.' && metadata.namespace === namespace)
    return isPlace && matchesHost(host, hostOf(service, namespace))
  })
}
