// Finds the routes whose weights a plan would change while a promotion holds the Lease of their service: then nobody
// else writes weights.
import { holderOf, runOfHolder, serviceOf } from '../canary/ownership/lease-object.ts'
import { readSavedRoutes } from '../canary/ownership/session.ts'
import { emptyWhenUnread } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import { keyOf, titleOf, type Lease } from '../cluster/objects.ts'
import { hostOf } from '../policies/compile/names.ts'
import type { PlannedChange } from '../policies/plan.ts'
import { isRouted, routesOf, targetKey, type Route, type Routed } from '../policies/routes.ts'

/** One sentence for each object. */
export async function heldPromotionFaults(
  cluster: Cluster,
  namespace: string,
  planned: readonly PlannedChange[],
): Promise<string[]> {
  const moving = planned.filter(movesWeights)
  if (moving.length === 0) return []
  const labelSelector = `${managedByLabel}=${manager}`
  const leases = await cluster.list<Lease>('Lease', namespace, { labelSelector }).catch(emptyWhenUnread)
  const held = leases.filter((lease) => holderOf(lease) !== '')
  const faults = held.map(async (lease) => {
    const service = serviceOf(lease)
    const saved = new Set((await readSavedRoutes(cluster, namespace, service)).map(keyOf))
    // A route to the service may have appeared during the promotion, which moves it as well.
    const isPromoted = ({ object, before }: PlannedChange) =>
      saved.has(keyOf(object)) || splitsHost(before as Routed, hostOf(service, namespace))
    return moving.filter(isPromoted).map((each) => fault(each, service, holderOf(lease)))
  })
  return (await Promise.all(faults)).flat()
}

function fault({ action, object }: PlannedChange, service: string, holder: string): string {
  return (
    `policies: ${runOfHolder(holder)} promotes ${service}, and this run would ` +
    `${action === 'delete' ? 'delete' : 'change the weights of'} the ${titleOf(object)}; ` +
    'wait for its end, or return the traffic to stable first (stage rollback)'
  )
}

/** True if a split of the live object would be gone, or have other weights. */
function movesWeights({ action, before, object }: PlannedChange): boolean {
  if (before === undefined || !isRouted(before) || (action !== 'change' && action !== 'delete')) return false
  const after = action === 'delete' || !isRouted(object) ? [] : splitsOf(object)
  return splitsOf(before).some((split) => !after.includes(split))
}

function splitsHost(object: Routed, host: string): boolean {
  return splitRoutesOf(object).some(({ targets }) => targets.some((target) => target.host === host))
}

/** The destinations of each route to several versions, with their weights. */
function splitsOf(object: Routed): string[] {
  return splitRoutesOf(object).map(({ targets }) =>
    targets
      .map((target) => `${targetKey(target)}=${target.weight}`)
      .sort()
      .join(),
  )
}

function splitRoutesOf(object: Routed): Route[] {
  return routesOf(object, object.metadata.namespace ?? '').filter(({ targets }) => targets.length > 1)
}
