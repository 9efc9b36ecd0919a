// Checks the Gateways of the Gateway API that `expose` names: they must exist, and accept routes of this namespace.
import type { Cluster } from '../../cluster/client.ts'
import { isNotFound, undefinedWhenForbidden } from '../../cluster/api-error.ts'
import { keyOf, type KubeObject } from '../../cluster/objects.ts'
import { nearest } from '../../config/nearest.ts'
import type { Config, Exposure } from '../../config/schema.ts'
import { userManifests } from '../manifests/manifests.ts'

const gatewayKind = 'Gateway.gateway.networking.k8s.io'

type Gateway = KubeObject & { spec: { listeners?: { allowedRoutes?: { namespaces?: { from?: string } } }[] } }
/** `gateways`: those of the `namespace` that `exposed` names; undefined when the account may not read them. */
type Lookup = { exposed: string; name: string; namespace: string; gateways: Gateway[] | 'no such kind' | undefined }

export async function gatewayApiFaults(
  cluster: Cluster,
  config: Config,
  exposures: [string, Exposure][],
): Promise<string[]> {
  const lookups = await Promise.all(
    exposures.map(async ([exposed, { gateway }]): Promise<Lookup> => {
      const [name = '', namespace = config.namespace] = gateway.split('/').reverse()
      return { exposed, name, namespace, gateways: await listGateways(cluster, namespace) }
    }),
  )
  const unsupported = lookups
    .filter(({ gateways }) => gateways === 'no such kind')
    .map(({ exposed }) => `expose.${exposed}.api`)
  if (unsupported.length > 0)
    return [
      `${unsupported.join(', ')}: the cluster does not serve gateway.networking.k8s.io/v1, which an HTTPRoute needs; ` +
        'install the CRDs of the Gateway API (https://gateway-api.sigs.k8s.io), which istioctl does not install, ' +
        'or use `api: istio`',
    ]
  return lookups.flatMap((lookup) => gatewayFaults(config, lookup))
}

function gatewayFaults(config: Config, { exposed, name, namespace, gateways }: Lookup): string[] {
  if (!Array.isArray(gateways)) return []
  const title = `expose.${exposed}.gateway: the Gateway ${namespace}/${name} (gateway.networking.k8s.io)`
  const found = gateways.find(({ metadata }) => metadata.name === name)
  if (found)
    return namespace === config.namespace || acceptsOtherNamespaces(found)
      ? []
      : [
          `${title} takes routes of its own namespace only, and this one is in ${config.namespace}; give one of its ` +
            'listeners `allowedRoutes: { namespaces: { from: All } }`, or a selector',
        ]
  if (isInManifests(config, namespace, name)) return []
  const names = gateways.map(({ metadata }) => metadata.name)
  return [
    `${title} does not exist${nearest(name, names)}; create it first, or correct the name; ` +
      'write a Gateway of another namespace as namespace/name',
  ]
}

function acceptsOtherNamespaces({ spec }: Gateway): boolean {
  return spec.listeners?.some(({ allowedRoutes }) => (allowedRoutes?.namespaces?.from ?? 'Same') !== 'Same') ?? false
}

async function listGateways(cluster: Cluster, namespace: string): Promise<Lookup['gateways']> {
  try {
    const [gateways] = await Promise.all([
      cluster.list<Gateway>(gatewayKind, namespace),
      cluster.list<KubeObject>('HTTPRoute', namespace),
    ])
    return gateways
  } catch (error) {
    return isNotFound(error) ? 'no such kind' : undefinedWhenForbidden(error)
  }
}

/** True when the user's own manifests create the Gateway: the run writes it before the route that names it. */
function isInManifests(config: Config, namespace: string, name: string): boolean {
  return userManifests(config).some(({ object }) => keyOf(object) === `${gatewayKind} ${namespace}/${name}`)
}
