// Splits that go with an object that is asked for no more: of a service without its route every pod gets requests, those of a
// version that had none among them. Pure.
import type { HttpRoute, VirtualService } from '../cluster/objects.ts'
import { contendedHost } from './merge.ts'
import type { Planned } from './plan.ts'

/** A sentence for each VirtualService that is to be deleted, splits a host in the mesh, and has no other one in its place. */
export function removedSplits(planned: readonly Planned[]): string[] {
  const staying = planned.filter(({ action }) => action !== 'delete')
  return planned
    .filter(({ action, object }) => action === 'delete' && object.kind === 'VirtualService')
    .flatMap(({ object }) => {
      const host = contendedHost(object, object)
      const split = (object as VirtualService).spec.http?.find(namesSubsets)
      if (host === undefined || !split || staying.some((each) => contendedHost(object, each.object) !== undefined))
        return []
      return [
        `policies: the VirtualService ${object.metadata.namespace ?? ''}/${object.metadata.name} is asked for no more and goes, and with it the split of ${host} (${weightsOf(split)}): then every pod of the service gets requests; keep its section, or take away first the pods that are to get none`,
      ]
    })
}

function namesSubsets({ route = [] }: HttpRoute): boolean {
  return route.some(({ destination }) => destination.subset !== undefined)
}

function weightsOf({ route = [] }: HttpRoute): string {
  return route
    .map(({ destination: { host, subset = host }, weight = route.length === 1 ? 100 : 0 }) => `${subset} ${weight}`)
    .join(', ')
}
