// Checks the ResourceQuotas of the namespace for the pods of a canary. Pure.
import type { Container, KubeObject, Pod, Quantities } from '../cluster/objects.ts'
import { quantity } from '../config/values/quantities.ts'
import type { Template } from './deployment.ts'

export type ResourceQuota = KubeObject & {
  spec?: { scopes?: string[]; scopeSelector?: object }
  status?: { hard?: Quantities; used?: Quantities }
}

/** Sums of decimal fractions are not exact. */
const rounding = 1e-9

type Kind = 'requests' | 'limits'

/**
 * Why the quotas leave no room for so many pods of the template; undefined if they do. `running`: a pod of stable, whose
 * sidecar counts as well. Quotas with scopes are for some pods only, and do not count.
 */
export function quotaFault(
  quotas: readonly ResourceQuota[],
  template: Template,
  running: Pod | undefined,
  replicas: number,
): string | undefined {
  for (const { metadata, spec = {}, status = {} } of quotas) {
    if (spec.scopes || spec.scopeSelector) continue
    for (const [resource, hard] of Object.entries(status.hard ?? {})) {
      const need = replicas * neededPerPod(resource, template, running)
      const used = status.used?.[resource]
      if (need === 0 || quantity(used) + need <= quantity(hard) * (1 + rounding)) continue
      return (
        `the ResourceQuota ${metadata.name} allows ${resource} ${hard}, of which ${used ?? '0'} is used, and the ` +
        `${replicas === 1 ? 'pod' : `${replicas} pods`} of the canary would need ${shown(resource, need)} more; raise it, ` +
        'or set a smaller number of `replicas`'
      )
    }
  }
  return undefined
}

function neededPerPod(resource: string, { spec }: Template, running: Pod | undefined): number {
  if (resource === 'pods' || resource === 'count/pods') return 1
  const [kind, name] = resource.includes('.') ? resource.split('.', 2) : ['requests', resource]
  if ((kind !== 'requests' && kind !== 'limits') || (name !== 'cpu' && name !== 'memory')) return 0
  return sum(withSidecar(spec, running), kind, name)
}

/** The containers that run as long as the pod: those of the template, and those that the injector adds to each pod. */
function withSidecar(spec: Template['spec'], running: Pod | undefined): Container[] {
  const own = [...spec.containers, ...(spec.initContainers ?? [])]
  const added = running ? [...running.spec.containers, ...(running.spec.initContainers ?? [])] : []
  const injected = added.filter(({ name }) => !own.some((each) => each.name === name))
  return [...own, ...injected].filter(
    (each) =>
      each.restartPolicy === 'Always' || spec.containers.includes(each) || running?.spec.containers.includes(each),
  )
}

function sum(containers: readonly Container[], kind: Kind, name: string): number {
  return containers.reduce((all, { resources }) => all + quantity(resources?.[kind]?.[name]), 0)
}

function shown(resource: string, amount: number): string {
  return resource.endsWith('memory') ? `${Math.ceil(amount / 1024 ** 2)}Mi` : String(Number(amount.toFixed(3)))
}
