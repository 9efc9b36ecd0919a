// Several objects for one host → one VirtualService and one DestinationRule a host: of two, the mesh would heed one. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { Destination, HttpRoute, KubeObject } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Sourced } from './manifests.ts'
import { fullHost } from './routes.ts'

/** `notes`: one sentence for each object that went into another. */
export type Merged = { objects: KubeObject[]; notes: string[] }

type Fields = Record<string, unknown>
type Faults = string[]
/** Where a value stands, for an error to name: the two sources and the path of the field. */
type Place = { a: string; b: string; object: string; path: string }

/** @throws ConfigError with a sentence for each thing that two sources want differently. */
export function merge(all: readonly Sourced[]): Merged {
  const faults: Faults = []
  const notes: string[] = []
  const groups = grouped(all)
  faults.push(...overlaps(groups))
  const objects = groups.map(
    (group) =>
      group.reduce((into, next) => {
        notes.push(`${titleOf(next)} was merged into ${titleOf(into)}: ${why(next.object)}`)
        return { object: joined(into, next, faults), source: into.source }
      }).object,
  )
  faults.push(...namesakes(objects))
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return { objects, notes }
}

function titleOf({ object: { kind, metadata }, source }: Sourced): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name} (${source})`
}

function why({ kind, spec }: Sourced['object']): string {
  if (kind === 'VirtualService' && hostsOf(spec).length > 0)
    return `the host ${hostsOf(spec).join(', ')} can have only one ${kind}`
  if (kind === 'DestinationRule') return `the host ${String(spec?.['host'])} can have only one ${kind}`
  return 'they have the same name'
}

function grouped(all: readonly Sourced[]): Sourced[][] {
  const groups = new Map<string, Sourced[]>()
  for (const each of all) groups.set(keyOf(each.object), [...(groups.get(keyOf(each.object)) ?? []), each])
  return [...groups.values()]
}

/** Objects of one key become one. A VirtualService without hosts is what another one delegates to, and goes by its name. */
function keyOf({ apiVersion, kind, metadata, spec }: Sourced['object']): string {
  const namespace = metadata.namespace ?? ''
  if (kind === 'VirtualService' && hostsOf(spec).length > 0)
    return JSON.stringify([kind, namespace, fullHosts(spec, namespace), gatewaysOf(spec, namespace)])
  if (kind === 'DestinationRule')
    return JSON.stringify([
      kind,
      namespace,
      fullHost(String(spec?.['host']), namespace),
      spec?.['workloadSelector'] ?? null,
    ])
  return JSON.stringify([apiVersion, kind, namespace, metadata.name])
}

function hostsOf(spec: Fields | undefined): string[] {
  return Array.isArray(spec?.['hosts']) ? spec['hosts'].map(String) : []
}

function fullHosts(spec: Fields | undefined, namespace: string): string[] {
  return hostsOf(spec)
    .map((host) => fullHost(host, namespace))
    .sort()
}

const sidecars = 'mesh'

/** Without any it is for the sidecars; one of the own namespace may be written with it or without. */
function gatewaysOf(spec: Fields | undefined, namespace: string): string[] {
  const given = Array.isArray(spec?.['gateways']) ? spec['gateways'].map(String) : []
  const gateways = given.map((name) => (name === sidecars || name.includes('/') ? name : `${namespace}/${name}`))
  return gateways.length > 0 ? gateways.sort() : [sidecars]
}

/** The hosts that both VirtualServices are for, and the gateways at which they are. */
function shared(a: KubeObject, b: KubeObject): { hosts: string[]; gateways: string[] } {
  const [ofA, ofB] = [a, b].map(({ metadata: { namespace = '' }, spec }: Sourced['object']) => ({
    hosts: fullHosts(spec, namespace),
    gateways: gatewaysOf(spec, namespace),
  }))
  return {
    hosts: ofA!.hosts.filter((host) => ofB!.hosts.includes(host)),
    gateways: ofA!.gateways.filter((gateway) => ofB!.gateways.includes(gateway)),
  }
}

/** The host for which the sidecars would heed one of the two only. At a gateway several VirtualServices of a host come together. */
export function contendedHost(a: Sourced['object'], b: Sourced['object']): string | undefined {
  if (a.kind !== b.kind) return undefined
  if (a.kind === 'DestinationRule')
    return keyOf(a) === keyOf(b) ? fullHost(String(a.spec?.['host']), a.metadata.namespace ?? '') : undefined
  const { hosts, gateways } = a.kind === 'VirtualService' ? shared(a, b) : { hosts: [], gateways: [] }
  return gateways.includes(sidecars) ? hosts[0] : undefined
}

/** Two VirtualServices that share some of their hosts and gateways but not all: neither is part of the other. */
function overlaps(groups: Sourced[][]): string[] {
  const services = groups.map(([first]) => first!).filter(({ object }) => object.kind === 'VirtualService')
  return services.flatMap((a, i) =>
    services.slice(i + 1).flatMap((b) => {
      const {
        hosts: [host],
        gateways: [gateway],
      } = shared(a.object, b.object)
      if (host === undefined || gateway === undefined) return []
      return [
        `${titleOf(a)} and ${titleOf(b)} are both for the host ${host} at ${gateway === sidecars ? 'the sidecars' : `the gateway ${gateway}`}, but their hosts or gateways differ, so that they cannot be merged; give both the same \`hosts\` and \`gateways\`, or take the host out of one`,
      ]
    }),
  )
}

function namesakes(objects: KubeObject[]): string[] {
  const name = ({ apiVersion, kind, metadata }: KubeObject) =>
    `${apiVersion.split('/')[0]} ${kind} ${metadata.namespace ?? ''}/${metadata.name}`
  const twice = objects.filter((object, i) => objects.findIndex((other) => name(other) === name(object)) < i)
  return [
    ...new Set(
      twice.map(
        ({ kind, metadata }) =>
          `policies: there are two different objects ${kind} ${metadata.namespace ?? ''}/${metadata.name}, for different hosts or workloads; give one of them another name`,
      ),
    ),
  ]
}

function joined(a: Sourced, b: Sourced, faults: Faults): Sourced['object'] {
  const { kind, metadata } = a.object
  const at = (path: string): Place => ({
    a: a.source,
    b: b.source,
    object: `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
    path,
  })
  const both = (path: string, one: unknown, other: unknown) => deep(one, other, at(path), faults) as Fields | undefined
  const labels = both('metadata.labels', metadata.labels, b.object.metadata.labels) as
    | Record<string, string>
    | undefined
  const annotations = both('metadata.annotations', metadata.annotations, b.object.metadata.annotations) as
    | Record<string, string>
    | undefined
  return {
    ...a.object,
    metadata: { ...metadata, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec: specs(kind, metadata.namespace ?? '', a.object.spec ?? {}, b.object.spec ?? {}, at, faults),
  }
}

function specs(
  kind: string,
  namespace: string,
  a: Fields,
  b: Fields,
  at: (path: string) => Place,
  faults: Faults,
): Fields {
  if (kind === 'VirtualService') {
    const http = routes((a['http'] ?? []) as HttpRoute[], (b['http'] ?? []) as HttpRoute[], namespace, at, faults)
    const rest = deep(without(a, 'http'), without(b, 'hosts', 'gateways', 'http'), at('spec'), faults) as Fields
    return { ...rest, ...(http.length > 0 ? { http } : {}) }
  }
  if (kind !== 'DestinationRule') return deep(a, b, at('spec'), faults) as Fields
  const subsets = named((a['subsets'] ?? []) as Named[], (b['subsets'] ?? []) as Named[], at('spec.subsets'), faults)
  const rest = deep(without(a, 'subsets'), without(b, 'host', 'subsets'), at('spec'), faults) as Fields
  return { ...rest, ...(subsets.length > 0 ? { subsets } : {}) }
}

function without(fields: Fields, ...keys: string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !keys.includes(key)))
}

type Named = Fields & { name: string }

function named(a: Named[], b: Named[], place: Place, faults: Faults): Named[] {
  const same = (item: Named) => b.find(({ name }) => name === item.name)
  const merged = a.map(
    (item) => deep(item, same(item), { ...place, path: `${place.path}[${item.name}]` }, faults) as Named,
  )
  return [...merged, ...b.filter(({ name }) => !a.some((item) => item.name === name))]
}

/** Routes with the same match become one; the matched keep their order and come before the default, which takes all the rest. */
function routes(
  a: HttpRoute[],
  b: HttpRoute[],
  namespace: string,
  at: (path: string) => Place,
  faults: Faults,
): HttpRoute[] {
  const merged = [...a]
  for (const route of b) {
    const i = merged.findIndex((each) =>
      isMatched(each) || isMatched(route) ? isDeepStrictEqual(each['match'], route['match']) : true,
    )
    if (i < 0) merged.push(route)
    else
      merged[i] = oneRoute(
        merged[i]!,
        route,
        namespace,
        at(
          `spec.http, ${isMatched(route) ? `the route of the match ${JSON.stringify(route['match'])}` : 'the default route'}`,
        ),
        faults,
      )
  }
  return [...merged.filter(isMatched), ...merged.filter((route) => !isMatched(route))]
}

function isMatched(route: HttpRoute): boolean {
  return Array.isArray(route['match']) && route['match'].length > 0
}

function oneRoute(a: HttpRoute, b: HttpRoute, namespace: string, place: Place, faults: Faults): HttpRoute {
  const ways = ['route', 'redirect', 'directResponse', 'delegate'].filter((way) => way in a || way in b)
  if (ways.length > 1) faults.push(differ(place, ways.map((way) => `\`${way}\``).join(' and ')))
  const route = a.route && b.route ? destinations(a.route, b.route, namespace, place, faults) : (a.route ?? b.route)
  return {
    ...(deep(without(a, 'route'), without(b, 'route'), place, faults) as HttpRoute),
    ...(route ? { route } : {}),
  }
}

type Destinations = NonNullable<HttpRoute['route']>

/** A route to the whole of a host says nothing of how it is split: one that says so refines it. */
function destinations(a: Destinations, b: Destinations, namespace: string, place: Place, faults: Faults): Destinations {
  const [fullA, fullB] = [a, b].map((each) =>
    each.map(({ destination, ...rest }) => ({
      ...rest,
      destination: { ...destination, host: fullHost(destination.host, namespace) },
    })),
  )
  if (isDeepStrictEqual(fullA, fullB)) return a
  if (refines(fullB!, fullA!)) return withPort(b, a[0]!.destination)
  if (refines(fullA!, fullB!)) return withPort(a, b[0]!.destination)
  faults.push(differ({ ...place, path: `${place.path}: route` }, `${spelled(a)} and ${spelled(b)}`))
  return a
}

function refines(fine: Destinations, plain: Destinations): boolean {
  const [only] = plain
  if (plain.length !== 1 || !only || only.destination.subset !== undefined || 'headers' in only) return false
  const port = only.destination.port?.number
  return fine.every(
    ({ destination }) =>
      destination.host === only.destination.host &&
      (port === undefined || destination.port === undefined || destination.port.number === port),
  )
}

function withPort(route: Destinations, { port }: Destination): Destinations {
  return port
    ? route.map((each) => ({ ...each, destination: { ...each.destination, port: each.destination.port ?? port } }))
    : route
}

function spelled(route: Destinations): string {
  return route
    .map(
      ({ destination: { host, subset }, weight }) =>
        `${subset === undefined ? host : `${host}/${subset}`}${weight === undefined ? '' : ` ${weight}`}`,
    )
    .join(' + ')
}

/** Maps key by key; anything else must be alike, or be given by one of the two only. */
function deep(a: unknown, b: unknown, place: Place, faults: Faults): unknown {
  if (a === undefined || b === undefined) return a ?? b
  if (isMap(a) && isMap(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])]
    return Object.fromEntries(
      keys.map((key) => [key, deep(a[key], b[key], { ...place, path: `${place.path}.${key}` }, faults)]),
    )
  }
  if (!isDeepStrictEqual(a, b)) faults.push(differ(place, `${JSON.stringify(a)} and ${JSON.stringify(b)}`))
  return a
}

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function differ({ a, b, object, path }: Place, values: string): string {
  return `${object}: ${path}: ${a} and ${b} want different things (${values}); say it in one of the two only`
}
