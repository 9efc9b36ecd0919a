// Tyk's classic API definition for an exposed service: https://tyk.io/docs/tyk-gateway-api/api-definition-objects/. Pure.
import { diffLines, leafChanges } from '../../cluster/leaves.ts'
import { isMap } from '../../config/values/parsed-value.ts'

/** A definition has many more fields. This program leaves those that it does not set as they are. */
export type TykDefinition = Record<string, unknown> & { api_id: string; name: string }

/**
 * Who has made a definition. Tyk keeps it among the data for plugins. `uid`: of the namespace, which tells clusters apart; absent
 * while there is none.
 */
export type TykOwner = { owner: string; namespace: string; uid?: string }

/** `target`: the ingress gateway; empty if it is not known. */
export type TykRoute = {
  owner: TykOwner
  name: string
  listenPath: string
  stripListenPath: boolean
  domain: string
  target: string
  keyless: boolean | undefined
}

/** On every answer, with a mark that each change of the definition replaces: so the proof knows which one has answered. */
export const proofHeader = 'x-mesh-canary-edge'

const ownerKey = 'mesh-canary'

const injector = { name: 'header_injector' }

/** What this program sets and keeps so. */
function ownFields({ owner, name, listenPath, stripListenPath, domain, target, keyless }: TykRoute, mark: string) {
  return {
    name,
    active: true,
    domain,
    proxy: {
      listen_path: listenPath,
      strip_listen_path: stripListenPath,
      target_url: target,
      // The ingress gateway chooses the service by the host.
      preserve_host_header: true,
      ...(target.startsWith('https:') ? { transport: { ssl_insecure_skip_verify: false } } : {}),
    },
    version_data: { versions: { Default: { global_response_headers: { [proofHeader]: mark } } } },
    config_data: { [ownerKey]: owner },
    ...(keyless === undefined ? {} : { use_keyless: keyless }),
  }
}

/** What a new definition has besides. */
const initialFields = {
  org_id: 'default',
  use_keyless: false,
  auth: { auth_header_name: 'Authorization' },
  version_data: { not_versioned: true, versions: { Default: { name: 'Default', use_extended_paths: true } } },
}

/** The definition as it should be, from the one that is there. `id`: of a new one. */
export function wanted(
  route: TykRoute,
  live: TykDefinition | undefined,
  { id, mark }: { id: string; mark: string },
): TykDefinition {
  const merged = merge(live ?? { api_id: id, ...initialFields }, ownFields(route, mark)) as TykDefinition
  const processors = Array.isArray(live?.['response_processors'])
    ? (live['response_processors'] as { name?: string }[])
    : []
  // Before version 5.3, Tyk adds headers to answers only with this.
  const hasInjector = processors.some(({ name }) => name === injector.name)
  return { ...merged, response_processors: hasInjector ? processors : [...processors, injector] }
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

type Known = TykDefinition & {
  active?: boolean
  domain?: string
  use_keyless?: boolean
  proxy?: { listen_path?: string; target_url?: string }
  version_data?: { versions?: { Default?: { global_response_headers?: Record<string, string> } } }
  config_data?: { [ownerKey]?: Partial<TykOwner> }
}

/** The mark that its answers have. */
export function markOf(definition: TykDefinition | undefined): string | undefined {
  return (definition as Known | undefined)?.version_data?.versions?.Default?.global_response_headers?.[proofHeader]
}

export function asksForKey(definition: TykDefinition): boolean {
  return (definition as Known).use_keyless !== true
}

/**
 * What this config has made for this namespace; or for one that is no more, if it leads the same requests to the same address. `names`:
 * under which this config may have made it.
 */
export function ownDefinition(
  route: TykRoute,
  names: readonly string[],
  all: readonly TykDefinition[],
): TykDefinition | undefined {
  const own = (all as Known[]).filter((each) => isOfConfig(route, names, each))
  const ofNamespace = own.find((each) => route.owner.uid !== undefined && ownerIn(each).uid === route.owner.uid)
  return ofNamespace ?? own.find((each) => isAtSamePlace(route, each) && each.proxy?.target_url === route.target)
}

const ownerIn = ({ config_data: data }: Known) => data?.[ownerKey] ?? {}

/** True if this config has made it, for this cluster or another one. */
export function isOfConfig({ owner: { namespace } }: TykRoute, names: readonly string[], of: TykDefinition): boolean {
  const { owner = '', namespace: place } = ownerIn(of)
  return names.includes(owner) && place === namespace
}

const pathOf = (text = '') => text.replace(/\/+$/, '')

function isAtSamePlace({ domain, listenPath }: TykRoute, { domain: other = '', proxy }: Known): boolean {
  return domain === other && pathOf(proxy?.listen_path) === pathOf(listenPath)
}

/** Another definition that gets the same requests: which of them answers is not defined. */
export function rivalOf(
  route: TykRoute,
  own: TykDefinition | undefined,
  all: readonly TykDefinition[],
): TykDefinition | undefined {
  return (all as Known[]).find((each) => {
    const { api_id: id, active, domain = '' } = each
    const isAnyDomain = domain === '' || route.domain === ''
    return id !== own?.api_id && active !== false && isAtSamePlace(isAnyDomain ? { ...route, domain } : route, each)
  })
}
