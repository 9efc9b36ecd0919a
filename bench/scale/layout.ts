// Where the benchmark's pods are: their addresses say which pod of which service is asked. Pure.

/** Of the control plane, and of the sidecars' images. */
export const istioVersion = '1.31.0'

export type PodRole = 'stable' | 'canary' | 'client'
/** `service`: its number, from 0. `number`: of the pod among those of the same service and role, from 0. */
export type Place = { role: PodRole; service: number; number: number }

/** All of them lead to one process. No network of the embedded mesh has these addresses. */
export const network = '10.248.0.0/13'
const roles: PodRole[] = ['stable', 'canary', 'client']
/** Pods of one role in the benchmark of many pods; the other benchmark has so many services. */
const perService = 256

/**
 * `10.248.x.y` to `10.250.x.y`: pod x·256 + y of the only service, by role. `10.251.x.y` to `10.253.x.y`: pod y of service
 * x.
 */
export function addressOf({ role, service, number }: Place, hasManyServices: boolean): string {
  const second = 248 + roles.indexOf(role) + (hasManyServices ? roles.length : 0)
  const rest = hasManyServices ? service * perService + number : number
  return `10.${second}.${Math.floor(rest / 256)}.${rest % 256}`
}

export function placeOf(address: string): Place {
  const [, second = 0, third = 0, fourth = 0] = address.split('.').map(Number)
  const index = second - 248
  const role = roles[index % roles.length]!
  return index < roles.length
    ? { role, service: 0, number: third * 256 + fourth }
    : { role, service: third, number: fourth }
}

export const serviceName = (service: number): string => `shop-${service}`

/** The parts of the pods that serve: of ten pods five are stable, one is the canary, and four call. */
export function shares(pods: number): Record<PodRole, number> {
  const canary = Math.max(1, Math.round(pods / 10))
  const client = Math.round((4 * pods) / 10)
  return { stable: pods - canary - client, canary, client }
}
