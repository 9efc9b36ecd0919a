// Finds the routes that bypass the split of a canary: their requests reach its service whatever the weight is. Pure.
import {
  titleOf,
  type Destination,
  type GatewayRoute,
  type HttpRoute,
  type VirtualService,
} from '../../cluster/objects.ts'
import { abRouteName } from '../../config/names.ts'
import type { Version } from '../../config/schema/canary.ts'
import { hostOf } from '../compile/names.ts'
import { coversAll, isCovered, matchesOf, type Matches } from '../conflicts/match-coverage.ts'
import { asksForTesters, isDelegatedForTesters, isForService, sharesHost } from './testers.ts'
import { fullHost, isVirtualService, type Routed, type Split } from '../routes.ts'

/**
 * A route that bypasses the split. `route`: its name, or its number and match. `matches`: its `match`. `what`: what it
 * does with which effect. `remedy`: what to change.
 */
export type RouteBypass = { object: Routed; route: string; matches: Matches; what: string; remedy: string }

/**
 * The versions that routes beside the split send requests to on purpose, such as those of testers. The share of such a
 * version may be larger than its weight.
 */
export type PinnedVersions = { stable: boolean; canary: boolean }

/** The full hosts, beside that of the service, and the subsets of the service whose pods are of both versions. */
export type Shared = { hosts: readonly string[]; subsets: readonly string[] }

const nothingShared: Shared = { hosts: [], subsets: [] }

/** Every route that bypasses the split. */
export function findRouteBypasses(objects: readonly Routed[], split: Split, shared = nothingShared): RouteBypass[] {
  const hasOwnHost = ownHosts(objects, split)
  return objects.flatMap((object) =>
    bypassesIn(object, routesOf(object, split, shared), { split, objects, hasOwnHost }),
  )
}

export function describeRouteBypass({ object, route, what, remedy }: RouteBypass, source?: string): string {
  const title = source === undefined ? titleOf(object) : `${titleOf(object)} (${source})`
  return `the route ${route} of the ${title} ${what}; ${remedy}`
}

export function findPinnedVersions(objects: readonly Routed[], split: Split): PinnedVersions {
  const surroundings = { split, objects, hasOwnHost: ownHosts(objects, split) }
  const pinned = objects.flatMap((object) =>
    routesOf(object, split, nothingShared).flatMap((route) => pinnedBy(object, route, surroundings)),
  )
  return { stable: pinned.includes('stable'), canary: pinned.includes('canary') }
}

/** What decides whether a route is one of testers, besides its own match. */
type Surroundings = { split: Split; objects: readonly Routed[]; hasOwnHost: (object: Routed) => boolean }

/** Tells which objects are for hosts of their own, where no route serves users by the split or by stable. */
function ownHosts(objects: readonly Routed[], split: Split): (object: Routed) => boolean {
  const servesUsers = objects.filter((object) =>
    routesOf(object, split, nothingShared).some(({ isSplit, reaches }) => isSplit || reaches.includes('stable')),
  )
  return (object) => !isForService(object, split) && !sharesHost(object, servesUsers, objects)
}

type Kind = 'stable' | 'canary' | 'whole'
type Route = {
  section: string
  label: string
  name: string | undefined
  matches: Matches
  /** What the route's requests reach of the service, by destinations with a weight. */
  reaches: Kind[]
  isSplit: boolean
  /** What copies of its requests reach. */
  copies: Kind[]
  /** Earlier routes take all its requests. */
  isHidden: boolean
}

function routesOf(object: Routed, split: Split, shared: Shared): Route[] {
  const kind = (host: string, subset?: string) => kindOf(split, shared, host, subset)
  const routes = isVirtualService(object)
    ? virtualServiceRoutes(object, split.namespace, kind)
    : gatewayRules(object, split.namespace, kind)
  const own = versionOf(object, split)
  // Whoever calls the Service of a version takes no part in the split.
  if (own !== undefined && routes.every(({ reaches }) => reaches.every((each) => each === own))) return []
  return routes.filter(({ name }) => name !== abRouteName)
}

/** The version whose own Service is the only host of the object, unless the whole service has that name too. */
function versionOf(object: Routed, { namespace, service, stable, canary }: Split): 'stable' | 'canary' | undefined {
  const hosts = hostsOf(object, namespace)
  const isOnlyHost = ({ by, name }: Version) =>
    by === 'service' && name !== service && hosts.every((host) => host === hostOf(name, namespace))
  if (hosts.length === 0) return undefined
  return isOnlyHost(stable) ? 'stable' : isOnlyHost(canary) ? 'canary' : undefined
}

/** The full hosts whose requests a VirtualService takes. A route of the Gateway API takes those of its parents. */
function hostsOf(object: Routed, namespace: string): string[] {
  if (!isVirtualService(object)) return []
  return (object.spec.hosts ?? []).map((host) => fullHost(host, object.metadata.namespace ?? namespace))
}

type KindOf = (host: string, subset?: string) => Kind | undefined

function kindOf(split: Split, shared: Shared, host: string, subset?: string): Kind | undefined {
  const { namespace, service, stable, canary } = split
  const isOf = ({ by, name }: Version) =>
    by === 'service' ? host === hostOf(name, namespace) : host === hostOf(service, namespace) && subset === name
  if (isOf(stable)) return 'stable'
  if (isOf(canary)) return 'canary'
  const isService = host === hostOf(service, namespace)
  if (subset !== undefined) return isService && shared.subsets.includes(subset) ? 'whole' : undefined
  return (isService && stable.by === 'subset') || shared.hosts.includes(host) ? 'whole' : undefined
}

function virtualServiceRoutes({ metadata, spec }: VirtualService, namespace: string, kind: KindOf): Route[] {
  const own = metadata.namespace ?? namespace
  const of = ({ host, subset }: Destination) => kind(fullHost(host, own), subset)
  return (['http', 'tcp', 'tls'] as const).flatMap((section) => {
    const all = (spec[section] ?? []) as HttpRoute[]
    return all.map((route, index): Route => {
      const { name, route: targets = [] } = route
      const matches = matchesOf(route)
      const kinds = targets.map(({ destination }) => of(destination))
      const earlier = section === 'http' ? all.slice(0, index).map(matchesOf) : []
      return {
        section,
        label: labelOf(section, index, name, matches),
        name,
        matches,
        reaches: kinds.filter((each, i) => each !== undefined && weightOf(targets, i) > 0) as Kind[],
        isSplit: kinds.includes('stable') && kinds.includes('canary'),
        copies: copiesOf(route).flatMap((destination) => of(destination) ?? []),
        isHidden: isCovered(matches, earlier),
      }
    })
  })
}

function labelOf(section: string, index: number, name: string | undefined, matches: Matches): string {
  if (name !== undefined) return name
  const number = section === 'http' || section === 'rules' ? index + 1 : `${index + 1} of \`${section}\``
  return matches.length === 0 ? `number ${number}` : `number ${number} (match ${JSON.stringify(matches).slice(0, 120)})`
}

function weightOf(targets: NonNullable<HttpRoute['route']>, index: number): number {
  return targets[index]!.weight ?? (targets.length === 1 ? 100 : 0)
}

function copiesOf(route: HttpRoute): Destination[] {
  const mirrors = (route['mirrors'] ?? []) as { destination: Destination }[]
  return [...(route['mirror'] ? [route['mirror'] as Destination] : []), ...mirrors.map((each) => each.destination)]
}

/** A gateway chooses the most specific rule, so no rule hides another. */
function gatewayRules(object: GatewayRoute, namespace: string, kind: KindOf): Route[] {
  const own = object.metadata.namespace ?? namespace
  return (object.spec.rules ?? []).map((rule, index): Route => {
    const refs = (rule.backendRefs ?? []).filter((ref) => (ref.kind ?? 'Service') === 'Service')
    const kinds = refs.map((ref) => kind(hostOf(ref.name, ref.namespace ?? own)))
    return {
      section: 'rules',
      label: labelOf('rules', index, rule.name, []),
      name: rule.name,
      matches: ruleMatches(rule),
      reaches: kinds.filter((each, i) => each !== undefined && (refs[i]!.weight ?? 1) > 0) as Kind[],
      isSplit: kinds.includes('stable') && kinds.includes('canary'),
      copies: [],
      isHidden: false,
    }
  })
}

/** In the Gateway API a match without conditions stands for the path `/`. */
function ruleMatches(rule: Record<string, unknown>): Matches {
  const matches = (rule['matches'] ?? []) as { path?: { type?: string; value?: string } }[]
  return matches.map(({ path, ...rest }) => ({
    ...rest,
    ...(path?.value === '/' && path.type !== 'Exact' ? {} : { path }),
  }))
}

function bypassesIn(object: Routed, routes: Route[], surroundings: Surroundings): RouteBypass[] {
  const { split } = surroundings
  const isNamed = ({ name }: Route) => name !== undefined && split.routes?.includes(name) === true
  return routes.flatMap((route, index) => {
    if (route.isHidden || isNamed(route)) return []
    const found = bypassBy(object, route, routes.slice(index + 1), surroundings)
    return found ? [{ object, route: route.label, matches: route.matches, ...found }] : []
  })
}

type Effect = Pick<RouteBypass, 'what' | 'remedy'>

function bypassBy(object: Routed, route: Route, later: Route[], surroundings: Surroundings): Effect | undefined {
  const { split } = surroundings
  if (route.reaches.includes('whole')) return toWholeHost(object, route, split)
  if (route.isSplit) return undefined
  const hidden = later.find((each) => each.isSplit && each.isHidden && isCovered(each.matches, [route.matches]))
  if (hidden) return beforeSplit(route, hidden, split)
  if (route.reaches.includes('canary'))
    return isForTesters(object, route, surroundings) ? undefined : toCanary(route, split)
  // With `routes`, the user says which routes take part.
  return route.reaches.includes('stable') && coversAll(route.matches) && !split.routes ? toStable(split) : undefined
}

function isForTesters(object: Routed, { matches }: Route, { objects, hasOwnHost }: Surroundings): boolean {
  return asksForTesters(matches) || isDelegatedForTesters(object, objects) || hasOwnHost(object)
}

const namesOf = ({ stable, canary }: Split) => `${stable.name} and ${canary.name}`

function toWholeHost(object: Routed, { section }: Route, split: Split): Effect {
  const both = `give it both ${namesOf(split)} as destinations (weights 100 and 0), or remove it`
  const named = 'a route of `policies` gets them by itself if you name it and list its name in `routes`'
  const needsSubsets = !isVirtualService(object) && split.stable.by === 'subset'
  return {
    what: `goes to all pods of ${split.service}, so its requests reach ${split.canary.name} whatever its weight is`,
    remedy: needsSubsets
      ? `replace it with a VirtualService that has both ${namesOf(split)} as destinations, or make both versions Services`
      : section === 'http'
        ? `${both}; ${named}`
        : both,
  }
}

function beforeSplit({ matches }: Route, hidden: Route, { canary }: Split): Effect {
  const which = matches.length === 0 ? 'has no match, so it takes every request' : 'takes the same requests'
  return {
    what: `${which} before the split in the route ${hidden.label}, so the weight of ${canary.name} has no effect`,
    remedy: 'move it behind the split, narrow its match, or remove it',
  }
}

function toStable({ stable, canary, ...rest }: Split): Effect {
  return {
    what: `sends every request to ${stable.name}, so the weight of ${canary.name} has no effect there`,
    remedy:
      `give it both ${namesOf({ stable, canary, ...rest })} as destinations, narrow its match, ` +
      'or list the routes whose weights move in `routes`',
  }
}

function toCanary({ matches }: Route, split: Split): Effect {
  const which = coversAll(matches) ? 'every request' : 'requests of users'
  return {
    what: `sends ${which} to ${split.canary.name} alone, so its weight has no effect there`,
    remedy:
      `give it both ${namesOf(split)} as destinations, or name it in \`routes\`; if it is for testers, ` +
      'match a header or a query parameter of theirs, or give them a host of their own',
  }
}

/** A split that does not move pins both versions. Requests of users that a route sends to the canary are not meant to. */
function pinnedBy(object: Routed, route: Route, surroundings: Surroundings): Kind[] {
  const { isHidden, isSplit, name, reaches, copies } = route
  const { routes } = surroundings.split
  if (isHidden) return []
  if (isSplit) return routes && !(name !== undefined && routes.includes(name)) ? ['stable', 'canary'] : copiedTo(copies)
  const isMeant = (each: Kind) => each === 'stable' || (each === 'canary' && isForTesters(object, route, surroundings))
  return [...reaches.filter(isMeant), ...copiedTo(copies)]
}

/** Copies to the whole host reach both. */
function copiedTo(copies: Kind[]): Kind[] {
  return copies.includes('whole') ? ['stable', 'canary'] : copies
}
