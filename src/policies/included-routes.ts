// Splits the routes that a canary names in `routes` and that go to all pods of its service. Pure.
import { keyOf, type Destination, type HttpRoute, type KubeObject, type VirtualService } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { Version } from '../config/schema/canary.ts'
import { hostOf } from './compile/names.ts'
import { canaryWeightOf, fullHost, splitsIn, type Split } from './routes.ts'

/** The objects with these routes split by the weights in force, or with everything on stable. */
export function withIncludedRoutes<T extends KubeObject>(
  objects: readonly T[],
  config: Config,
  live: readonly VirtualService[],
): T[] {
  const canaries = canariesOf(config).filter(({ routes }) => routes !== undefined)
  return objects.map((object) =>
    object.kind === 'VirtualService' ? canaries.reduce((into, plan) => include(into, plan), object) : object,
  )

  function include(object: T, { service, stable, canary, routes = [] }: CanaryConfig): T {
    const split: Split = { namespace: config.namespace, service, stable, canary }
    const { spec } = object as KubeObject as VirtualService
    const http = spec.http?.map((route) => {
      const { name } = route
      if (name === undefined || !routes.includes(name) || !goesToAllPods(route, object, split)) return route
      return { ...route, route: splitOfRoute(route, split, weightInForce(object, name, split)) }
    })
    return http ? { ...object, spec: { ...spec, http } } : object
  }

  function weightInForce(object: KubeObject, name: string, split: Split): number {
    const same = live.find((each) => keyOf(each) === keyOf(object))
    const [route] = same ? splitsIn(same, { ...split, routes: [name] }) : []
    return (route && canaryWeightOf(route)) ?? 0
  }
}

function goesToAllPods({ route = [] }: HttpRoute, { metadata }: KubeObject, split: Split): boolean {
  const { namespace, service, stable, canary } = split
  const [only] = route
  if (!only || route.length > 1 || only.destination.subset !== undefined) return false
  const isOwnVersion = [stable, canary].some(({ by, name }) => by === 'service' && name === service)
  return (
    !isOwnVersion && fullHost(only.destination.host, metadata.namespace ?? namespace) === hostOf(service, namespace)
  )
}

function splitOfRoute({ route = [] }: HttpRoute, split: Split, weight: number): NonNullable<HttpRoute['route']> {
  const [only] = route as [NonNullable<HttpRoute['route']>[number]]
  const to = (version: Version, share: number) => ({
    ...only,
    destination: destinationOf(only.destination, version, split.namespace),
    weight: share,
  })
  return [to(split.stable, 100 - weight), to(split.canary, weight)]
}

function destinationOf(destination: Destination, { by, name }: Version, namespace: string): Destination {
  return by === 'subset' ? { ...destination, subset: name } : { ...destination, host: hostOf(name, namespace) }
}
