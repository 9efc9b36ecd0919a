// Whether the mesh sends traces to anybody: without a provider a share of traced requests has no effect, and Istio does not say so.
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, type ConfigMap, type KubeObject } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import { parse } from '../yaml/parse.ts'
import { unreadable } from './expose-checks.ts'

type Telemetry = KubeObject & { spec?: { tracing?: { providers?: object[] }[] } }
type MeshConfig = {
  defaultProviders?: { tracing?: string[] }
  defaultConfig?: { tracing?: object }
  extensionProviders?: ({ name: string } & Record<string, unknown>)[]
}

/** One sentence when traces are asked for, by the config or its manifests' `objects`, and nothing names a provider. */
export async function missingTracing(
  cluster: Cluster,
  { namespace, telemetry }: Config,
  objects: readonly KubeObject[],
): Promise<string[]> {
  if (!telemetry?.tracing) return []
  const list = <T extends KubeObject>(kind: 'ConfigMap' | 'Telemetry', place: string) =>
    cluster.list<T>(kind, place).catch(unreadable)
  const [maps, ofMesh, ofNamespace] = await Promise.all([
    list<ConfigMap>('ConfigMap', systemNamespace),
    list<Telemetry>('Telemetry', systemNamespace),
    list<Telemetry>('Telemetry', namespace),
  ])
  // One a revision; the other maps of istio-system have no such key.
  const meshes =
    maps?.flatMap(({ data }) =>
      data?.['mesh'] === undefined ? [] : [(parse(data['mesh']).value as MeshConfig | null) ?? {}],
    ) ?? []
  if (meshes.length === 0 || !ofMesh || !ofNamespace) return []
  const named = [...ofMesh, ...ofNamespace, ...objects].some(namesProvider)
  return named || meshes.some(hasProvider) ? [] : [noProvider(telemetry.tracing, meshes)]
}

function namesProvider(object: Telemetry): boolean {
  return object.spec?.tracing?.some(({ providers = [] }) => providers.length > 0) ?? false
}

function hasProvider({ defaultProviders, defaultConfig }: MeshConfig): boolean {
  return (defaultProviders?.tracing ?? []).length > 0 || defaultConfig?.tracing !== undefined
}

const tracers = ['opentelemetry', 'zipkin', 'skywalking', 'datadog']

function noProvider(share: number, meshes: MeshConfig[]): string {
  const defined = meshes.flatMap(({ extensionProviders = [] }) =>
    extensionProviders.filter((provider) => tracers.some((tracer) => tracer in provider)).map(({ name }) => name),
  )
  return `telemetry.tracing: ${share}% of the requests are asked for, but no tracing provider is chosen, so none is traced; name one in meshConfig.defaultProviders.tracing, or in a Telemetry of ${systemNamespace}${defined.length > 0 ? `; the mesh defines ${[...new Set(defined)].join(', ')}` : ', and define it in meshConfig.extensionProviders'}`
}
