// Contradictions inside one service's policies.
import { abRouteName, faultRouteName, otherPortsRouteName, routeName } from '../names.ts'
import type { ServicePolicy } from '../schema.ts'
import type { Fault } from './fault.ts'

/** Paths are relative to the service. */
export function serviceFaults(service: ServicePolicy): Fault[] {
  return [
    ...trafficFaults(service),
    ...timeoutFaults(service),
    ...destinationFaults(service),
    ...routeNameFaults(service),
    ...slowStartFaults(service),
  ]
}

/** Istio ignores it there. */
function slowStartFaults({ loadBalancer: { warmup, simple, consistentHash } = {} }: ServicePolicy): Fault[] {
  const other = consistentHash ? 'consistentHash' : simple === 'random' ? 'random' : undefined
  if (!warmup || other === undefined) return []
  const message = `has no effect with \`${other}\`; use \`round-robin\` or \`least-request\`, or remove it`
  return [{ path: ['loadBalancer', 'warmup'], message }]
}

function undefinedSubset(name: string): string {
  return `the subset ${name} is not defined; add it to \`subsets\` with its labels`
}

function trafficFaults({ traffic, subsets = {} }: ServicePolicy): Fault[] {
  if (!traffic) return []
  const sum = Object.values(traffic).reduce((total, weight) => total + weight, 0)
  const missing = Object.keys(traffic).filter((name) => !Object.hasOwn(subsets, name))
  const path = ['traffic']
  return [
    ...(sum === 100 ? [] : [{ path, message: `the weights add up to ${sum}; make them add up to 100` }]),
    ...missing.map((name) => ({ path, message: undefinedSubset(name) })),
  ]
}

function timeoutFaults({ retries, timeout }: ServicePolicy): Fault[] {
  const perTryTimeout = retries?.perTryTimeout
  if (timeout === undefined || perTryTimeout === undefined || perTryTimeout <= timeout) return []
  const message =
    `\`perTryTimeout\` (${perTryTimeout} ms) is longer than the \`timeout\` of the whole request (${timeout} ms), ` +
    'so it never ends a try; make it shorter'
  return [{ path: ['retries'], message }]
}

/** A/B routes and the mirror lead to subsets that exist. */
function destinationFaults({ subsets = {}, routes = [], mirror }: ServicePolicy): Fault[] {
  const destinations = [
    ...routes.map(({ to }, i) => ({ path: ['routes', String(i), 'to'], to })),
    ...(mirror ? [{ path: ['mirror', 'to'], to: mirror.to }] : []),
  ]
  return destinations.flatMap(({ path, to }) =>
    Object.hasOwn(subsets, to) ? [] : [{ path, message: undefinedSubset(to) }],
  )
}

/** Each route has its own name, and none has the name of a route that the program writes. */
function routeNameFaults({ routes = [] }: ServicePolicy): Fault[] {
  const names = routes.map(({ name }) => name)
  return names.flatMap((name, i) => {
    if (name === undefined) return []
    const isDuplicate = names.indexOf(name) < i
    const owner = isDuplicate ? 'an earlier route' : reservedNames.get(name)
    if (owner === undefined) return []
    const message = `${name} is already the name of ${owner}; choose another name`
    return [{ path: ['routes', String(i), 'name'], message }]
  })
}

const reservedNames = new Map([
  [abRouteName, "the route that a canary's `ab` adds and removes"],
  [faultRouteName, 'the route with the fault of an experiment'],
  [routeName, 'the route that splits the traffic'],
  [otherPortsRouteName, 'the route that splits the traffic of the other ports'],
])
