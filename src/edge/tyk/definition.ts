// Tyk's classic API definition for an exposed service: https://tyk.io/docs/tyk-gateway-api/api-definition-objects/. Pure.
import { createHash } from 'node:crypto'
import { diffLines, leafChanges } from '../../cluster/leaves.ts'
import { isMap } from '../../config/values/parsed-value.ts'

/** A definition has many more fields. This program leaves those that it does not set as they are. */
export type TykDefinition = Record<string, unknown> & { api_id: string; name: string }

/**
 * Who has made a definition. Tyk keeps it among the data for plugins. `uid`: of the namespace, which tells clusters apart; absent
 * while there is none.
 */
export type TykOwner = { owner: string; namespace: string; uid?: string }

/** `id`: of the definition, which a copy of it does not have. `asked`: what the config asks for, as a hash. */
type TykRecord = TykOwner & { id: string; asked: string }

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
function ownFields({ owner, ...route }: TykRoute, { id, mark }: { id: string; mark: string }) {
  const { name, listenPath, stripListenPath, domain, target, keyless } = route
  const record: TykRecord = { ...owner, id, asked: hashOf(route) }
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
    config_data: { [ownerKey]: record },
    ...(keyless === undefined ? {} : { use_keyless: keyless }),
  }
}

function hashOf(route: Omit<TykRoute, 'owner'>): string {
  const { name, listenPath, stripListenPath, domain, target, keyless } = route
  const asked = JSON.stringify([name, listenPath, stripListenPath, domain, target, keyless ?? null])
  return createHash('sha256').update(asked).digest('hex').slice(0, 16)
}

/** True if the config asks for the same as when the definition was written: then somebody else has changed it since. */
export function isDrift(route: TykRoute, live: TykDefinition): boolean {
  return recordIn(live).asked === hashOf(route)
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
  const own = ownFields(route, { id: live?.api_id ?? id, mark })
  const merged = merge(live ?? { api_id: id, ...initialFields }, own) as TykDefinition
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

/** What would change, as lines; undefined if nothing does. What this program notes for itself is no line. */
export function changesOf(live: TykDefinition | undefined, next: TykDefinition): string[] | undefined {
  const changes = leafChanges(live, next)
  if (changes.length === 0) return undefined
  const shown = changes.filter(({ path }) => !path.startsWith(`config_data.${ownerKey}.`))
  // Somebody may have written a password into the address of a target.
  return diffLines(shown).map((line) => line.replace(/:\/\/[^/?#\s]*@/g, '://***@'))
}

type Known = TykDefinition & {
  active?: boolean
  domain?: string
  use_keyless?: boolean
  proxy?: { listen_path?: string; target_url?: string }
  version_data?: { versions?: { Default?: { global_response_headers?: Record<string, string> } } }
  config_data?: { [ownerKey]?: Partial<TykRecord> }
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
  const ofNamespace = own.find((each) => route.owner.uid !== undefined && recordIn(each).uid === route.owner.uid)
  return ofNamespace ?? own.find((each) => isAtSamePlace(route, each) && each.proxy?.target_url === route.target)
}

function recordIn(definition: TykDefinition): Partial<TykRecord> {
  return (definition as Known).config_data?.[ownerKey] ?? {}
}

/** True if this config has made it, for this cluster or another one. A copy that somebody made in Tyk is theirs. */
export function isOfConfig({ owner: { namespace } }: TykRoute, names: readonly string[], of: TykDefinition): boolean {
  const { owner = '', namespace: place, id } = recordIn(of)
  return names.includes(owner) && place === namespace && id === of.api_id
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
