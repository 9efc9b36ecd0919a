// Checks the gateways of Istio's API that `expose` names: by their label `istio`, and their certificates.
import type { Cluster } from '../../cluster/client.ts'
import { undefinedWhenForbidden } from '../../cluster/api-error.ts'
import type { StageName } from '../../config/schema/stages.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import { nearest } from '../../config/nearest.ts'
import type { Config, Exposure } from '../../config/schema.ts'

/** One sentence for each gateway that does not exist, and for each certificate that its gateway cannot read. */
export async function istioGatewayFaults(
  cluster: Cluster,
  config: Config,
  exposures: [string, Exposure][],
  stages: readonly StageName[],
): Promise<string[]> {
  const gateways = await gatewayNamespaces(cluster)
  if (!gateways) return []
  const faults = exposures.map(async ([name, { gateway, tls }]) => {
    const namespaces = [...(gateways.get(gateway) ?? [])]
    if (namespaces.length === 0)
      return mayInstallGateway(config, stages) ? [] : [missingGateway(name, gateway, [...gateways.keys()])]
    if (!tls) return []
    const certificate: Certificate = { exposed: name, secret: tls.secret, gateway }
    return (await Promise.all(namespaces.map((each) => secretFaults(cluster, config, certificate, each)))).flat()
  })
  return (await Promise.all(faults)).flat()
}

/** Profiles without a gateway; `set` and overlays may add one. */
const profilesWithoutGateway = ['minimal', 'ambient', 'empty', 'remote']

function mayInstallGateway({ istio }: Config, stages: readonly StageName[]): boolean {
  if (!stages.includes('install') || istio === undefined) return false
  const hasProfileGateway = istio.profile === undefined || !profilesWithoutGateway.includes(istio.profile)
  return hasProfileGateway || istio.set.length > 0 || istio.overlays !== undefined
}

function missingGateway(name: string, gateway: string, known: string[]): string {
  return (
    `expose.${name}.gateway: no pod and no Deployment of any namespace has the label istio=${gateway}` +
    `${nearest(gateway, known.sort())}; correct the name, or install a gateway: the profile \`default\` has one`
  )
}

/** The label `istio` of each gateway → the namespaces of its pods; undefined when the account may not read them. */
async function gatewayNamespaces(cluster: Cluster): Promise<Map<string, Set<string>> | undefined> {
  const lists = (['Pod', 'Deployment'] as const).map((kind) =>
    cluster.list<KubeObject>(kind, undefined, { labelSelector: 'istio' }).catch(undefinedWhenForbidden),
  )
  const [pods, deployments] = await Promise.all(lists)
  if (!pods || !deployments) return undefined
  const gateways = new Map<string, Set<string>>()
  for (const { metadata } of [...pods, ...deployments]) {
    const { labels, namespace = '' } = metadata
    const label = labels?.['istio'] ?? ''
    // istiod has the label too.
    if (label !== 'pilot') gateways.set(label, (gateways.get(label) ?? new Set()).add(namespace))
  }
  return gateways
}

type Secret = KubeObject & { data?: Record<string, string> }
type Certificate = { exposed: string; secret: string; gateway: string }

async function secretFaults(
  cluster: Cluster,
  { namespace }: Config,
  { exposed, secret, gateway }: Certificate,
  gatewayNamespace: string,
): Promise<string[]> {
  const found = await readSecret(cluster, gatewayNamespace, secret)
  if (!found) return []
  const title = `expose.${exposed}.tls.secret: the Secret ${gatewayNamespace}/${secret}`
  const command = `kubectl -n ${gatewayNamespace} create secret tls ${secret} --cert=… --key=…`
  if (found === 'absent') {
    const own = gatewayNamespace === namespace ? 'absent' : await readSecret(cluster, namespace, secret)
    const otherSecret = own === 'absent' || !own ? '' : `; there is one in ${namespace}, but the gateway cannot read it`
    return [
      `${title} does not exist, and the gateway ${gateway} reads certificates only in its own namespace, ` +
        `${gatewayNamespace}${otherSecret}; create it: ${command}`,
    ]
  }
  const missing = ['tls.crt', 'tls.key'].filter((key) => !found.data?.[key])
  if (missing.length === 0) return []
  const keys = Object.keys(found.data ?? {}).sort()
  return [
    `${title} has no ${missing.join(' and no ')}; it has ${keys.join(', ') || 'nothing'}; create it again: ${command}`,
  ]
}

/** Undefined when the account may not read it. */
async function readSecret(cluster: Cluster, namespace: string, name: string): Promise<Secret | 'absent' | undefined> {
  return cluster
    .get<Secret>('Secret', namespace, name)
    .then((secret) => secret ?? ('absent' as const))
    .catch(undefinedWhenForbidden)
}
