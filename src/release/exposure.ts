// Finds Services by which users would reach the pods of a canary from the moment they are ready, whatever its weight is.
import { otherServices, isSuspectOnly, serviceFault } from '../canary/traffic/other-services.ts'
import { emptyWhenUnread } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Pod, Service, Workload } from '../cluster/objects.ts'
import { createdCanaryLabel } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import { hostOf } from '../policies/compile/names.ts'
import { userManifests } from '../policies/manifests/manifests.ts'
import { meshHosts } from '../policies/merge/merge-hosts.ts'
import { isRouted, routedKinds, type Routed } from '../policies/routes.ts'
import type { Release } from './plan.ts'

/** One sentence for each. A promotion finds them too, but only when the pods are there. `config`: may route them. */
export async function exposureFaults(
  cluster: Cluster,
  config: Config,
  { plan, stable, canary }: Release,
): Promise<string[]> {
  const { namespace = '' } = stable.metadata
  const split = { namespace, service: plan.service, stable: plan.stable, canary: plan.canary }
  const selectors = {
    stable: stable.spec.template.metadata?.labels ?? {},
    canary: { [createdCanaryLabel]: plan.service },
  }
  const services = await cluster.list<Service>('Service', namespace)
  const others = otherServices(services, [firstPodOf(stable), firstPodOf(canary)], split, selectors)
  const callable = others.filter((each) => !isSuspectOnly(each))
  if (callable.length === 0) return []
  const routes = await Promise.all(
    routedKinds.map((kind) => cluster.list<Routed>(kind, namespace).catch(emptyWhenUnread)),
  )
  const pending = userManifests(config).map(({ object }) => object)
  const routed = [...routes.flat(), ...pending.filter(isRouted)].flatMap((each) => meshHosts(each))
  return callable
    .filter(({ metadata }) => !routed.includes(hostOf(metadata.name, namespace)))
    .map((each) => serviceFault(each, split))
}

function firstPodOf({ metadata: { name, namespace = '' }, spec: { template } }: Workload): Pod {
  const labels = template.metadata?.labels ?? {}
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels }, spec: template.spec }
}
