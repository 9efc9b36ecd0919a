// Tyk's classic API definition for an exposed service: https://tyk.io/docs/tyk-gateway-api/api-definition-objects/. Pure.
import { diffLines, leafChanges } from '../../cluster/leaves.ts'
import { isMap } from '../../config/values/parsed-value.ts'

/** A definition has many more fields. This program leaves those that it does not set as they are. */
export type TykDefinition = Record<string, unknown> & { api_id: string; name: string }

/** `id`: unique among all configs that use this Tyk. `target`: the ingress gateway. */
export type TykRoute = {
  id: string
  name: string
  listenPath: string
  stripListenPath: boolean
  domain: string
  target: string
  keyless: boolean | undefined
}

/** On every answer, with the id: so the proof knows that it came through this definition. */
export const proofHeader = 'x-mesh-canary-edge'

const injector = { name: 'header_injector' }

/** What this program sets and keeps so. */
function ownFields({ id, name, listenPath, stripListenPath, domain, target, keyless }: TykRoute) {
  return {
    api_id: id,
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
    version_data: { versions: { Default: { global_response_headers: { [proofHeader]: id } } } },
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

/** The definition as it should be, from the one that is there. */
export function wanted(route: TykRoute, live: TykDefinition | undefined): TykDefinition {
  const merged = merge(live ?? initialFields, ownFields(route)) as TykDefinition
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
  return diffLines(leafChanges(live, next))
}

type Listening = TykDefinition & { active?: boolean; domain?: string; proxy?: { listen_path?: string } }

/** Another definition that gets the same requests: which of them answers is not defined. */
export function rivalOf(route: TykRoute, all: readonly TykDefinition[]): TykDefinition | undefined {
  const path = (text = '') => text.replace(/\/+$/, '')
  return (all as Listening[]).find(
    ({ api_id: id, active, domain = '', proxy }) =>
      id !== route.id &&
      active !== false &&
      (domain === '' || route.domain === '' || domain === route.domain) &&
      path(proxy?.listen_path) === path(route.listenPath),
  )
}
