// Tyk's classic API definition for an exposed service: https://tyk.io/docs/tyk-gateway-api/api-definition-objects/. Pure.
import { diffLines, leafChanges } from '../../cluster/leaves.ts'
import { isMap } from '../../runtime/is-map.ts'

/** A definition has many more fields. This program leaves those that it does not set as they are. */
export type TykDefinition = Record<string, unknown> & { api_id: string; name: string }

/** Who has made a definition. `uid`: of the namespace, which tells clusters apart; absent while there is none. */
export type TykOwner = { owner: string; namespace: string; uid?: string }

/** Where requests come in, and where they go. `target`: the ingress gateway; empty if it is not known. */
export type TykRouting = { domain: string; listenPath: string; stripListenPath: boolean; target: string }

export type TykRoute = TykRouting & { owner: TykOwner; name: string; keyless: boolean | undefined }

/**
 * What Tyk keeps for us among the data for plugins. `id`: of the definition, because a copy that somebody makes in Tyk
 * has these data, too. `lastVerified`: the routing by which users last reached the application, as this program saw it.
 */
type Mark = TykOwner & { id: string; lastVerified: Partial<TykRouting> }

/** On every answer, with a mark that each change of the definition replaces: so the probe knows which one has answered. */
export const probeHeader = 'x-mesh-canary-edge'

const ownerKey = 'mesh-canary'

const injector = { name: 'header_injector' }

/** What this program sets and keeps so. */
function ownFields(
  route: TykRoute,
  { id, mark, lastVerified }: { id: string; mark: string; lastVerified?: TykRouting },
) {
  const { owner, name, keyless } = route
  return {
    name,
    active: true,
    ...routingFields(route, mark),
    config_data: { [ownerKey]: { ...owner, id, ...(lastVerified ? { lastVerified } : {}) } },
    ...(keyless === undefined ? {} : { use_keyless: keyless }),
  }
}

function routingFields({ listenPath, stripListenPath, domain, target }: TykRouting, mark: string) {
  return {
    domain,
    proxy: {
      listen_path: listenPath,
      strip_listen_path: stripListenPath,
      target_url: target,
      // The ingress gateway chooses the service by the host.
      preserve_host_header: true,
      ...(target.startsWith('https:') ? { transport: { ssl_insecure_skip_verify: false } } : {}),
    },
    version_data: { versions: { Default: { global_response_headers: { [probeHeader]: mark } } } },
  }
}

/** What a new definition has besides. */
const initialFields = {
  org_id: 'default',
  use_keyless: false,
  auth: { auth_header_name: 'Authorization' },
  version_data: { not_versioned: true, versions: { Default: { name: 'Default', use_extended_paths: true } } },
}

/**
 * The definition as it should be, from the one that is there. `id`: of a new one. `lastVerified`: by default what it was
 * before.
 */
export function wanted(
  route: TykRoute,
  live: TykDefinition | undefined,
  { id: newId, ...more }: { id: string; mark: string; lastVerified?: TykRouting },
): TykDefinition {
  const id = live?.api_id ?? newId
  const merged = merge(live ?? { api_id: id, ...initialFields }, ownFields(route, { id, ...more })) as TykDefinition
  const processors = Array.isArray(live?.['response_processors'])
    ? (live['response_processors'] as { name?: string }[])
    : []
  // Before version 5.3, Tyk adds headers to answers only with this.
  const hasInjector = processors.some(({ name }) => name === injector.name)
  return { ...merged, response_processors: hasInjector ? processors : [...processors, injector] }
}

/** With another routing, and all else as it is. */
export function withRouting(live: TykDefinition, routing: TykRouting, mark: string): TykDefinition {
  return merge(live, routingFields(routing, mark)) as TykDefinition
}

/** All else stays as it is. */
export function withLastVerified(live: TykDefinition, lastVerified: TykRouting): TykDefinition {
  return merge(live, { config_data: { [ownerKey]: { lastVerified } } }) as TykDefinition
}

/** Lists are taken as they are. */
function merge(below: unknown, above: unknown): unknown {
  if (!isMap(below) || !isMap(above)) return above
  const keys = [...new Set([...Object.keys(below), ...Object.keys(above)])]
  return Object.fromEntries(keys.map((key) => [key, key in above ? merge(below[key], above[key]) : below[key]]))
}

/** What would change, as lines. Empty if nothing does. */
export function changesOf(live: TykDefinition | undefined, next: TykDefinition): string[] {
  // Somebody may have written a password into the address of a target.
  return diffLines(leafChanges(live, next)).map((line) => line.replace(/:\/\/[^/?#\s]*@/g, '://***@'))
}

/** The fields that differ, other than those by which this program finds its API again. */
export function settingsChanged(before: TykDefinition | undefined, after: TykDefinition): string[] {
  const fields = leafChanges(before, after).map(({ path }) => path)
  return [...new Set(fields)].filter((path) => !path.includes(ownerKey) && !path.includes(probeHeader))
}

type Known = TykDefinition & {
  active?: boolean
  domain?: string
  use_keyless?: boolean
  proxy?: { listen_path?: string; target_url?: string }
  version_data?: { versions?: { Default?: { global_response_headers?: Record<string, string> } } }
  config_data?: { [ownerKey]?: Partial<Mark> }
}

/** The mark that its answers have. */
export function markOf(definition: TykDefinition | undefined): string | undefined {
  return (definition as Known | undefined)?.version_data?.versions?.Default?.global_response_headers?.[probeHeader]
}

export function asksForKey(definition: TykDefinition): boolean {
  return (definition as Known).use_keyless !== true
}

const ownerIn = ({ config_data: data }: Known) => data?.[ownerKey] ?? {}

/**
 * True if this config has made it, for this namespace or another one of the same name. `names`: under which this config
 * may have made it.
 */
export function wasCreatedByConfig(
  { owner: { namespace } }: TykRoute,
  names: readonly string[],
  definition: TykDefinition,
): boolean {
  const { owner = '', namespace: place, id } = ownerIn(definition)
  return names.includes(owner) && place === namespace && id === definition.api_id
}

/** `definition`: of this config. */
export function wasCreatedForNamespace({ owner: { uid } }: TykRoute, definition: TykDefinition): boolean {
  return uid !== undefined && ownerIn(definition).uid === uid
}

export function routingOf({ domain, listenPath, stripListenPath, target }: TykRoute): TykRouting {
  return { domain, listenPath, stripListenPath, target }
}

/** By which users last reached the application; undefined if this program has never seen that they do. */
export function lastVerifiedRouting(definition: TykDefinition): TykRouting | undefined {
  const { domain, listenPath, stripListenPath, target } = ownerIn(definition).lastVerified ?? {}
  // Anybody with rights in Tyk may have written it.
  if (typeof stripListenPath !== 'boolean' || typeof domain !== 'string') return undefined
  if (typeof listenPath !== 'string' || typeof target !== 'string') return undefined
  return { domain, listenPath, stripListenPath, target }
}

/** A listen path without the slashes at its end. */
export const pathOf = (text = '') => text.replace(/\/+$/, '')

export function isAtSamePlace({ domain, listenPath }: TykRouting, definition: TykDefinition): boolean {
  const { domain: other = '', proxy } = definition as Known
  return domain === other && pathOf(proxy?.listen_path) === pathOf(listenPath)
}

/** It leads the same requests to the same address. */
export function isSameRouting(routing: TykRouting, definition: TykDefinition): boolean {
  return isAtSamePlace(routing, definition) && (definition as Known).proxy?.target_url === routing.target
}

/** Another definition that gets the same requests: which of them answers is not defined. */
export function findConflictingApi(
  routing: TykRouting,
  own: TykDefinition | undefined,
  all: readonly TykDefinition[],
): TykDefinition | undefined {
  return (all as Known[]).find((each) => {
    const { api_id: id, active, domain = '' } = each
    const isAnyDomain = domain === '' || routing.domain === ''
    return id !== own?.api_id && active !== false && isAtSamePlace(isAnyDomain ? { ...routing, domain } : routing, each)
  })
}
