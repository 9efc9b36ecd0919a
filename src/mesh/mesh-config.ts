// The mesh config of each revision, as istiod reads it from its ConfigMap.
import type { Cluster } from '../cluster/client.ts'
import { undefinedWhenForbidden } from '../cluster/api-error.ts'
import { systemNamespace, type ConfigMap } from '../cluster/objects.ts'
import { parse } from '../yaml/parse.ts'

export type MeshConfig = {
  defaultProviders?: { tracing?: string[] }
  defaultConfig?: { tracing?: object }
  extensionProviders?: ({ name: string } & Record<string, unknown>)[]
  /** For routes that state no retries. Istio 1.24 and later. */
  defaultHttpRetryPolicy?: { attempts?: number; retryOn?: string; perTryTimeout?: string }
}

/** One for each revision; undefined if this account may not read them. */
export async function readMeshConfigs(cluster: Cluster): Promise<MeshConfig[] | undefined> {
  const maps = await cluster.list<ConfigMap>('ConfigMap', systemNamespace).catch(undefinedWhenForbidden)
  // The other ConfigMaps in istio-system lack this key.
  return maps?.flatMap(({ data }) =>
    data?.['mesh'] === undefined ? [] : [(parse(data['mesh']).value as MeshConfig | null) ?? {}],
  )
}
