// Checks that the mesh has a tracing provider: without one, a sampling percentage has no effect, and Istio does not
// warn.
import type { Cluster } from '../cluster/client.ts'
import { undefinedWhenForbidden } from '../cluster/api-error.ts'
import { systemNamespace, type KubeObject } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import type { MeshConfig } from '../mesh/extension-providers.ts'
import { readMeshConfigs } from '../mesh/mesh-config.ts'

type Telemetry = KubeObject & { spec?: { tracing?: { providers?: object[] }[] } }
/** One sentence when the config asks for traces, and neither the mesh nor the policies' `objects` name a provider. */
export async function missingTracing(
  cluster: Cluster,
  { namespace, telemetry }: Config,
  objects: readonly KubeObject[],
): Promise<string[]> {
  if (!telemetry?.tracing) return []
  const list = (place: string) => cluster.list<Telemetry>('Telemetry', place).catch(undefinedWhenForbidden)
  const [meshes, ofMesh, ofNamespace] = await Promise.all([
    readMeshConfigs(cluster),
    list(systemNamespace),
    list(namespace),
  ])
  if (!meshes || meshes.length === 0 || !ofMesh || !ofNamespace) return []
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
  const available =
    defined.length > 0
      ? `; the mesh defines ${[...new Set(defined)].join(', ')}`
      : ', and define it in meshConfig.extensionProviders'
  return (
    `telemetry.tracing: it samples ${share}% of the requests, but no tracing provider is set, so none is traced; set ` +
    `one in meshConfig.defaultProviders.tracing, or in a Telemetry of ${systemNamespace}${available}`
  )
}
