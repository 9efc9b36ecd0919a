// Reads and patches the mesh config of each revision, as istiod reads it from its ConfigMap.
import { isConflict, undefinedWhenForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, type ConfigMap, type KubeObject } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import { retry } from '../runtime/retry.ts'
import { addedNames, meshConfigIn, meshConfigName, type MeshConfig } from './extension-providers.ts'
import { defaultRevision } from './labels.ts'
import { listControlPlanes, ofRevision, pointerOf, revisionOfPointer, tagsOf } from './revisions.ts'

/** One for each revision; undefined if this account may not read them. */
export async function readMeshConfigs(cluster: Cluster): Promise<MeshConfig[] | undefined> {
  const maps = await cluster.list<ConfigMap>('ConfigMap', systemNamespace).catch(undefinedWhenForbidden)
  // The other ConfigMaps in istio-system lack this key.
  return maps?.filter(({ data }) => data?.['mesh'] !== undefined).map(meshConfigIn)
}

export type MeshConfigPlace = { namespace: string; name: string }

/** Where the mesh config for the sidecars of the config's namespace is, or will be once the mesh is installed. */
export async function meshConfigPlace(
  cluster: Cluster,
  { namespace, istio }: Pick<Config, 'namespace' | 'istio'>,
): Promise<MeshConfigPlace> {
  const revision = istio?.revision ?? (await revisionOfNamespace(cluster, namespace))
  const planes = (await listControlPlanes(cluster).catch(undefinedWhenForbidden)) ?? []
  return {
    namespace: ofRevision(planes, revision)?.metadata.namespace ?? systemNamespace,
    name: meshConfigName(revision),
  }
}

async function revisionOfNamespace(cluster: Cluster, name: string): Promise<string> {
  const pointer = pointerOf(await cluster.get<KubeObject>('Namespace', undefined, name)) ?? defaultRevision
  return revisionOfPointer(pointer, (await tagsOf(cluster)) ?? new Map<string, string>())
}

export function readMeshConfig(cluster: Cluster, { namespace, name }: MeshConfigPlace): Promise<ConfigMap | undefined> {
  return cluster.get<ConfigMap>('ConfigMap', namespace, name)
}

/** The mesh configs to which mesh-canary added providers. */
export async function changedMeshConfigs(cluster: Cluster): Promise<{ place: MeshConfigPlace; map: ConfigMap }[]> {
  const all = await cluster.list<ConfigMap>('ConfigMap', systemNamespace)
  return all
    .filter((map) => addedNames(map).length > 0)
    .map((map) => ({ place: { namespace: systemNamespace, name: map.metadata.name }, map }))
}

/**
 * Writes what `change` makes of the mesh config, or nothing if it returns undefined. Others may write it meanwhile:
 * `change` is then asked again. @returns whether anything was written.
 */
export async function patchMeshConfig(
  cluster: Cluster,
  place: MeshConfigPlace,
  change: (map: ConfigMap) => ConfigMap | undefined,
): Promise<boolean> {
  const write = async () => {
    const live = await readMeshConfig(cluster, place)
    const next = live && change(live)
    if (!next) return false
    await cluster.patch('ConfigMap', place.namespace, place.name, [
      { op: 'test', path: '/metadata/resourceVersion', value: live.metadata.resourceVersion },
      { op: 'add', path: '/metadata/annotations', value: next.metadata.annotations ?? {} },
      { op: 'add', path: '/data/mesh', value: next.data?.['mesh'] },
    ])
    return true
  }
  return retry(write, { attempts: 5, firstDelayMs: 100, isTransient: isConflict })
}
