// What `expose` names, looked up before anything is touched: the Service, its port, the gateway, the certificate.
// What the user may not read is not judged.
import { ApiError, type Cluster } from '../cluster/client.ts'
import { keyOf, type KubeObject, type Service } from '../cluster/objects.ts'
import { nearest } from '../config/nearest.ts'
import { servicesOf } from '../config/names.ts'
import type { Config, Exposure, StageName } from '../config/schema.ts'
import { servicePorts } from '../cluster/service-ports.ts'
import { readManifests } from './manifests.ts'

const gatewayKind = 'Gateway.gateway.networking.k8s.io'

/** One sentence for each thing that `expose` names and that neither is there nor comes by this run. */
export async function exposeFaults(cluster: Cluster, config: Config, stages: readonly StageName[]): Promise<string[]> {
  const all = Object.entries(config.expose ?? {})
  if (all.length === 0) return []
  const services = await cluster.list<Service>('Service', config.namespace)
  const byLabel = all.filter(([, { api }]) => api === 'istio')
  const byObject = all.filter(([, { api }]) => api === 'gateway-api')
  return [
    ...all.flatMap(([name, exposure]) => portFaults(name, exposure, config, services)),
    ...(byLabel.length > 0 ? await labelFaults(cluster, config, byLabel, comesByInstall(config, stages)) : []),
    ...(byObject.length > 0 ? await objectFaults(cluster, config, byObject) : []),
  ]
}

/** A Service that has policies as well is missed by the preflight already. */
function portFaults(name: string, { port: stated, api }: Exposure, config: Config, services: Service[]): string[] {
  const title = `the Service ${config.namespace}/${name}`
  const service = services.find(({ metadata }) => metadata.name === name)
  if (!service)
    return name in servicesOf(config)
      ? []
      : [
          `expose.${name}: ${title} does not exist${nearest(
            name,
            services.map(({ metadata }) => metadata.name),
          )}; deploy it first, or correct the name`,
        ]
  const ports = servicePorts(service).map(({ port }) => port)
  if (ports.length === 0) return [`expose.${name}: ${title} has no port through which it could be reached; give it one`]
  if (stated !== undefined)
    return ports.includes(stated)
      ? []
      : [`expose.${name}.port: ${title} has no port ${stated}; it has ${ports.join(', ')}`]
  if (servicesOf(config)[name]?.port !== undefined || (api === 'istio' && ports.length === 1)) return []
  return [
    `expose.${name}.port: it is not stated, and ${api === 'istio' ? `${title} has more than one` : 'an HTTPRoute cannot do without it'}; give one of the ports of ${title}: ${ports.join(', ')}`,
  ]
}

/** Profiles that have no gateway of their own; values and overlays may add one. */
const bareProfiles = ['minimal', 'ambient', 'empty', 'remote']

function comesByInstall({ istio }: Config, stages: readonly StageName[]): boolean {
  return (
    stages.includes('install') &&
    istio !== undefined &&
    (istio.profile === undefined ||
      !bareProfiles.includes(istio.profile) ||
      istio.set.length > 0 ||
      istio.overlays !== undefined)
  )
}

/** The namespaces of the gateways, by their label `istio`. */
type Gateways = Map<string, Set<string>>

async function labelFaults(
  cluster: Cluster,
  config: Config,
  exposures: [string, Exposure][],
  maybeLater: boolean,
): Promise<string[]> {
  const gateways = await labelledGateways(cluster)
  if (!gateways) return []
  const faults = exposures.map(async ([name, { gateway, tls }]) => {
    const namespaces = [...(gateways.get(gateway) ?? [])]
    if (namespaces.length === 0) return maybeLater ? [] : [noGateway(name, gateway, [...gateways.keys()])]
    return tls
      ? (
          await Promise.all(
            namespaces.map((place) => secretFaults(cluster, config.namespace, name, tls.secret, gateway, place)),
          )
        ).flat()
      : []
  })
  return (await Promise.all(faults)).flat()
}

function noGateway(name: string, gateway: string, seen: string[]): string {
  return `expose.${name}.gateway: no pod and no Deployment of any namespace has the label istio=${gateway}${nearest(gateway, seen.sort())}; correct the name, or install a gateway: the profile \`default\` has one`
}

async function labelledGateways(cluster: Cluster): Promise<Gateways | undefined> {
  const lists = (['Pod', 'Deployment'] as const).map((kind) =>
    cluster.list<KubeObject>(kind, undefined, { labelSelector: 'istio' }).catch(unreadable),
  )
  const found = await Promise.all(lists)
  if (found.includes(undefined)) return undefined
  const gateways: Gateways = new Map()
  for (const {
    metadata: { labels, namespace = '' },
  } of found.flatMap((list) => list ?? [])) {
    const label = labels?.['istio'] ?? ''
    // istiod has the label too.
    if (label !== 'pilot') gateways.set(label, (gateways.get(label) ?? new Set()).add(namespace))
  }
  return gateways
}

type Secret = KubeObject & { data?: Record<string, string> }

async function secretFaults(
  cluster: Cluster,
  namespace: string,
  name: string,
  secret: string,
  gateway: string,
  place: string,
): Promise<string[]> {
  const read = (from: string) =>
    cluster
      .get<Secret>('Secret', from, secret)
      .then((found) => found ?? 'absent')
      .catch(unreadable)
  const found = await read(place)
  if (!found) return []
  const start = `expose.${name}.tls.secret: the Secret ${place}/${secret}`
  const make = `kubectl -n ${place} create secret tls ${secret} --cert=… --key=…`
  if (found === 'absent') {
    const here = place === namespace ? 'absent' : await read(namespace)
    return [
      `${start} does not exist, and the gateway ${gateway} reads certificates in its own namespace, ${place}, only${here === 'absent' || !here ? '' : `; there is one in ${namespace}, which it does not see`}; create it: ${make}`,
    ]
  }
  const missing = ['tls.crt', 'tls.key'].filter((key) => !found.data?.[key])
  return missing.length === 0
    ? []
    : [
        `${start} has no ${missing.join(' and no ')}; it has ${
          Object.keys(found.data ?? {})
            .sort()
            .join(', ') || 'nothing'
        }; make it anew: ${make}`,
      ]
}

type GatewayObject = KubeObject & { spec: { listeners?: { allowedRoutes?: { namespaces?: { from?: string } } }[] } }

async function objectFaults(cluster: Cluster, config: Config, exposures: [string, Exposure][]): Promise<string[]> {
  const looked = await Promise.all(
    exposures.map(async ([name, { gateway }]) => {
      const [object = '', place = config.namespace] = gateway.split('/').reverse()
      return { name, object, place, there: await gatewaysIn(cluster, place) }
    }),
  )
  const without = looked.filter(({ there }) => there === 'no such kind').map(({ name }) => `expose.${name}.api`)
  if (without.length > 0)
    return [
      `${without.join(', ')}: the cluster does not serve gateway.networking.k8s.io/v1, to which an HTTPRoute belongs; install the CRDs of the Gateway API (https://gateway-api.sigs.k8s.io), for istioctl does not, or use \`api: istio\``,
    ]
  return looked.flatMap(({ name, object, place, there }) =>
    Array.isArray(there) ? gatewayFaults(config, name, object, place, there) : [],
  )
}

function gatewayFaults(config: Config, name: string, object: string, place: string, there: GatewayObject[]): string[] {
  const title = `expose.${name}.gateway: the Gateway ${place}/${object} (gateway.networking.k8s.io)`
  const found = there.find(({ metadata }) => metadata.name === object)
  if (!found)
    return isAsked(config, object, place)
      ? []
      : [
          `${title} does not exist${nearest(
            object,
            there.map(({ metadata }) => metadata.name),
          )}; create it first, or correct the name; one of another namespace is written namespace/name`,
        ]
  const admits =
    place === config.namespace ||
    found.spec.listeners?.some(({ allowedRoutes }) => (allowedRoutes?.namespaces?.from ?? 'Same') !== 'Same')
  return admits
    ? []
    : [
        `${title} takes routes of its own namespace only, and this one is in ${config.namespace}; give a listener of it \`allowedRoutes: { namespaces: { from: All } }\`, or a selector`,
      ]
}

/** Undefined when they may not be read. */
async function gatewaysIn(cluster: Cluster, namespace: string): Promise<GatewayObject[] | 'no such kind' | undefined> {
  try {
    const [gateways] = await Promise.all([
      cluster.list<GatewayObject>(gatewayKind, namespace),
      cluster.list<KubeObject>('HTTPRoute', namespace),
    ])
    return gateways
  } catch (error) {
    return error instanceof ApiError && error.status === 404 ? 'no such kind' : unreadable(error)
  }
}

/** The user's own manifests bring the Gateway, before the route that names it. */
function isAsked({ policies, namespace }: Config, name: string, place: string): boolean {
  return readManifests(policies ?? [], namespace).some(
    ({ object }) => keyOf(object) === `${gatewayKind} ${place}/${name}`,
  )
}

export function unreadable(error: unknown): undefined {
  if (error instanceof ApiError && error.status === 403) return undefined
  throw error
}
