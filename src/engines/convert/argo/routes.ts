// The routes and the subsets that a Rollout moves.
import { withoutUndefined } from '../../../runtime/without-undefined.ts'
import { otherPortsRouteName, routeName } from '../../../config/names.ts'
import type { CanaryConfig, Config } from '../../../config/schema.ts'
import { compile } from '../../../policies/compile/index.ts'
import { gatewayOf, hostOf } from '../../../policies/compile/names.ts'
import type { EngineObject, Keys } from '../generated.ts'

type Section = Record<string, unknown>
type Routes = { istio: Section; objects: EngineObject[] }

/** The VirtualServices and the DestinationRule that the config compiles to, or the user's own, which `routes` names. */
export function routesOf(config: Config, plan: CanaryConfig, keys: Keys): Routes {
  const { service, routes } = plan
  keys.take('routes')
  if (routes) {
    keys.assume(
      ['routes'],
      `your own VirtualService, and DestinationRule, are taken to be named ${service}; if not, correct \`trafficRouting.istio\``,
    )
    return { istio: { virtualService: { name: service, routes } }, objects: [] }
  }
  const names = [service, gatewayOf(service)]
  const { objects } = compile(withoutWeights(config, service), {})
  const own = objects
    .filter(({ kind, metadata: { name } }) => kind === 'VirtualService' && names.includes(name))
    .map((object) => splitByService(withoutLabels(object), config, plan))
  const virtualServices = own.length > 0 ? own : [plainSplit(config, plan)]
  const rules = objects
    .filter(({ kind, metadata: { name } }) => kind === 'DestinationRule' && name === service)
    .map((object) => withAnyLabels(withoutLabels(object), plan))
  for (const key of ['port', 'timeout', 'retries', 'loadBalancer', 'circuitBreaker', 'routes', 'mirror', 'fault'])
    keys.takeOfService(key)
  const moved = virtualServices.map((object) => ({ name: object.metadata.name, routes: splitNames(object) }))
  const istio = moved.length === 1 ? { virtualService: moved[0] } : { virtualServices: moved }
  return { istio, objects: [...virtualServices, ...rules] }
}

/** All traffic begins at stable, whatever weights the file has. */
function withoutWeights(config: Config, service: string): Config {
  const { traffic: _, weights: __, ...policy } = config.services?.[service] ?? {}
  return config.services?.[service] ? { ...config, services: { ...config.services, [service]: policy } } : config
}

type Http = { name?: string; route?: { destination: Section; weight?: number }[] }

function splitNames({ spec }: EngineObject): string[] {
  return (spec['http'] as Http[]).flatMap(({ name }) =>
    name === routeName || name === otherPortsRouteName ? [name] : [],
  )
}

function withoutLabels(object: {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string }
}): EngineObject {
  const { apiVersion, kind, metadata, ...rest } = object
  const { name, namespace } = metadata
  return { apiVersion, kind, metadata: withoutUndefined({ name, namespace }), ...rest } as EngineObject
}

/** Our routes of a canary between two Services of the user name the Service only. */
function splitByService(object: EngineObject, config: Config, plan: CanaryConfig): EngineObject {
  if (plan.stable.by === 'subset') return object
  const http = (object.spec['http'] as Http[]).map((route) =>
    route.name === routeName || route.name === otherPortsRouteName
      ? { ...route, route: serviceShares(config, plan, route.route?.[0]?.destination['port']) }
      : route,
  )
  return { ...object, spec: { ...object.spec, http } }
}

function serviceShares({ namespace }: Config, { stable, canary }: CanaryConfig, port: unknown): object[] {
  return [stable, canary].map(({ name }, i) => ({
    destination: withoutUndefined({ host: hostOf(name, namespace), port }),
    weight: i === 0 ? 100 : 0,
  }))
}

function plainSplit(config: Config, plan: CanaryConfig): EngineObject {
  const { service } = plan
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: service, namespace: config.namespace },
    spec: {
      hosts: [hostOf(service, config.namespace)],
      http: [{ name: routeName, route: serviceShares(config, plan, undefined) }],
    },
  }
}

/** Both versions are pods of one template: Argo Rollouts adds the label that tells them apart. */
function withAnyLabels(rule: EngineObject, { stable, canary }: CanaryConfig): EngineObject {
  if (stable.by === 'service') return rule
  const subsets = rule.spec['subsets'] as { name: string }[]
  const both = [stable.name, canary.name]
  return {
    ...rule,
    spec: {
      ...rule.spec,
      subsets: subsets.map((subset) => (both.includes(subset.name) ? { name: subset.name } : subset)),
    },
  }
}
