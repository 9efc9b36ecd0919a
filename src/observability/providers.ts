// Plans the extension providers of the mesh config: adds those of this config, and removes those that mesh-canary added
// and that no Telemetry names any more. All other providers stay as they are.
import { isNotFound, undefinedWhenForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { diffLines, leafChanges } from '../cluster/leaves.ts'
import { titleOf, type ConfigMap, type KubeObject } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Config } from '../config/schema.ts'
import {
  addedNames,
  defaultProviderNames,
  desiredProviders,
  providersIn,
  takenProviders,
  withProviders,
  type ExtensionProvider,
} from '../mesh/extension-providers.ts'
import {
  changedMeshConfigs,
  meshConfigPlace,
  patchMeshConfig,
  readMeshConfig,
  type MeshConfigPlace,
} from '../mesh/mesh-config.ts'
import { isOf, type Owner } from '../policies/owned-objects.ts'

type Telemetry = KubeObject & { spec?: Partial<Record<'tracing' | 'accessLogging' | 'metrics', Named[]>> }
type Named = { providers?: { name?: string }[] }
/** By the name of a provider, the Telemetry of somebody else that uses it. */
type Users = Map<string, string>

/** `lines`: the difference, as of other objects; none if nothing changes. `map`: absent until the mesh is installed. */
export type ProviderPlan = {
  place: MeshConfigPlace
  map?: ConfigMap
  desired: ExtensionProvider[]
  unwanted: string[]
  lines: string[]
}

/** @throws ConfigError if the name of a provider stands for something else already. */
export async function planProviders(cluster: Cluster, config: Config, owner: Owner): Promise<ProviderPlan> {
  const desired = config.observability ? desiredProviders(config.observability) : []
  const place = await meshConfigPlace(cluster, config)
  const map = await readMeshConfig(cluster, place).catch((error: unknown) =>
    desired.length === 0 ? undefinedWhenForbidden(error) : Promise.reject(error as Error),
  )
  if (!map) return { place, desired, unwanted: [], lines: linesOf([], desired) }
  const users = await usersOfProviders(cluster, (telemetry) => isOf(owner, telemetry))
  const faults = providerFaults(config, map, desired, users ?? new Map<string, string>())
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  const unwanted = users ? unused(map, desired, users) : []
  const next = withProviders(map, desired, unwanted)
  return { place, map, desired, unwanted, lines: next ? linesOf(providersIn(map), providersIn(next)) : [] }
}

/** @returns whether anything was written. */
export function applyProviders(cluster: Cluster, { place, desired, unwanted }: ProviderPlan): Promise<boolean> {
  return patchMeshConfig(cluster, place, (map) => withProviders(map, desired, unwanted))
}

/** Providers of one mesh config, by name. */
export type AddedProviders = { place: MeshConfigPlace; names: string[] }

/**
 * What mesh-canary added to the mesh configs and no Telemetry names any more, besides those of `isOwn`. None without the
 * right to see that.
 */
export async function unusedProviders(
  cluster: Cluster,
  isOwn: (telemetry: KubeObject) => boolean,
): Promise<AddedProviders[]> {
  const users = await usersOfProviders(cluster, isOwn)
  const changed = users ? await changedMeshConfigs(cluster) : []
  return changed
    .map(({ place, map }) => ({ place, names: unused(map, [], users!) }))
    .filter(({ names }) => names.length > 0)
}

export function providerTitles({ place, names }: AddedProviders): string[] {
  return names.map((name) => `extension provider ${name} of ConfigMap ${place.namespace}/${place.name}`)
}

export async function removeProviders(cluster: Cluster, { place, names }: AddedProviders): Promise<void> {
  await patchMeshConfig(cluster, place, (live) => withProviders(live, [], names))
}

function linesOf(before: readonly ExtensionProvider[], after: readonly ExtensionProvider[]): string[] {
  const part = (providers: readonly ExtensionProvider[]) =>
    providers.length > 0 ? { extensionProviders: providers } : {}
  return diffLines(leafChanges(part(before), part(after), { byName: true }))
}

/** Undefined if the account may not read the Telemetries of all namespaces. Those of `isOwn` do not count. */
async function usersOfProviders(
  cluster: Cluster,
  isOwn: (telemetry: KubeObject) => boolean,
): Promise<Users | undefined> {
  const all = await listTelemetries(cluster)
  const named = all
    ?.filter((object) => !isOwn(object))
    .flatMap((object) => namesIn(object).map((name) => [name, titleOf(object)] as const))
  return named && new Map(named)
}

/** None before the mesh is installed. */
function listTelemetries(cluster: Cluster): Promise<Telemetry[] | undefined> {
  return cluster
    .list<Telemetry>('Telemetry')
    .catch((error: unknown) => (isNotFound(error) ? [] : undefinedWhenForbidden(error)))
}

function namesIn({ spec = {} }: Telemetry): string[] {
  const parts = [...(spec.tracing ?? []), ...(spec.accessLogging ?? []), ...(spec.metrics ?? [])]
  return parts.flatMap(({ providers = [] }) => providers.flatMap(({ name }) => name ?? []))
}

function unused(map: ConfigMap, desired: readonly ExtensionProvider[], users: Users): string[] {
  const used = new Set([...desired.map(({ name }) => name), ...users.keys(), ...defaultProviderNames(map)])
  return addedNames(map).filter((name) => !used.has(name))
}

function providerFaults(
  { observability }: Config,
  map: ConfigMap,
  desired: readonly ExtensionProvider[],
  users: Users,
): string[] {
  const title = titleOf({ ...map, kind: 'ConfigMap' })
  const configKey = (name: string) =>
    `observability.${observability?.traces?.provider === name ? 'traces' : 'logs'}.provider`
  const taken = takenProviders(map, desired).map(({ name }) => {
    const { name: _name, ...content } = providersIn(map).find((each) => each.name === name)!
    return (
      `${configKey(name)}: the mesh config (${title}) defines an extension provider ${name} already, for something else ` +
      `(${JSON.stringify(content)}); choose another name, or remove it there`
    )
  })
  const ofOthers = desired.filter((provider) => users.has(provider.name) && isChange(map, provider))
  return [
    ...taken,
    ...ofOthers
      .filter(({ name }) => addedNames(map).includes(name))
      .map(
        ({ name }) =>
          `${configKey(name)}: the extension provider ${name} already leads to another collector, and the ` +
          `${users.get(name)} uses it; choose another name`,
      ),
  ]
}

function isChange(map: ConfigMap, provider: ExtensionProvider): boolean {
  return withProviders(map, [provider], []) !== undefined && providersIn(map).some(({ name }) => name === provider.name)
}
