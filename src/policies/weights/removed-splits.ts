// Finds splits that end because the plan deletes their VirtualService. Without it, every pod of the service gets
// requests, including pods of a version that got none before. Pure.
import { titleOf, type HttpRoute, type VirtualService } from '../../cluster/objects.ts'
import { contendedHost } from '../merge/merge-hosts.ts'
import type { PlannedChange } from '../plan.ts'

/**
 * One sentence for each VirtualService that the plan deletes, that splits a host in the mesh, and that nothing
 * replaces.
 */
export function removedSplits(planned: readonly PlannedChange[]): string[] {
  const staying = planned.filter(({ action }) => action !== 'delete')
  return planned
    .filter(({ action, object }) => action === 'delete' && object.kind === 'VirtualService')
    .flatMap(({ object }) => {
      const host = contendedHost(object, object)
      const split = (object as VirtualService).spec.http?.find(namesSubsets)
      if (host === undefined || !split || staying.some((each) => contendedHost(object, each.object) !== undefined))
        return []
      return [
        `policies: the config no longer asks for the ${titleOf(object)}, so the run deletes it, ` +
          `and with it the split of ${host} (${describeSplit(split)}): then every pod of the service gets requests; ` +
          'keep its section, or first remove the pods that must get none',
      ]
    })
}

function namesSubsets({ route = [] }: HttpRoute): boolean {
  return route.some(({ destination }) => destination.subset !== undefined)
}

function describeSplit({ route = [] }: HttpRoute): string {
  return route
    .map(({ destination: { host, subset = host }, weight = route.length === 1 ? 100 : 0 }) => `${subset} ${weight}`)
    .join(', ')
}
